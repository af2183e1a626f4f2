"""Random weights for the PyTorch networks, with random batch normalisation: fresh statistics hide errors."""

import math

import torch

from keras_simplepose.conversion.torch_networks import build_twin


def random_state(architecture, seed=0, side=64):
    """A state dictionary of the architecture whose heatmaps are of order 1, as trained ones are."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like, low, high):
        return low + (high - low) * torch.rand(like.shape, generator=generator)

    def normal(like, deviation):
        return deviation * torch.randn(like.shape, generator=generator)

    twin = build_twin(architecture)
    state = {name: value.clone() for name, value in twin.state_dict().items()}
    for name, value in state.items():
        if name.endswith("running_var"):
            state[name] = uniform(value, 0.5, 2.0)
        elif name.endswith("running_mean") or name.endswith("bias"):
            state[name] = normal(value, 0.2)
        elif value.ndim == 1:
            # The last normalisation of a residual branch is kept small, else the sum grows with depth.
            state[name] = (
                uniform(value, 0.1, 0.5)
                if ".bn3." in name or ".bn2." in name and architecture.backbone == "hourglass52"
                else uniform(value, 0.5, 1.5)
            )
        elif value.ndim == 4:
            deconv = name.startswith("deconv_layers")
            fan_in = value.shape[0] * value[0, 0].numel() / 4 if deconv else value[0].numel()
            state[name] = normal(value, math.sqrt((1 if name == "final_layer.weight" else 2) / fan_in))
    if architecture.keypoints:
        twin.load_state_dict(state)
        with torch.no_grad():
            largest = twin.eval()(torch.randn((2, 3, side, side), generator=generator)).abs().max()
        state["final_layer.weight"] /= largest
    return state


def pose_state(depth=50, style="pytorch", filters=(256, 256, 256), kernels=(4, 4, 4), keypoints=17, seed=0):
    """Architecture and random state of a pose ResNet."""
    from keras_simplepose.conversion.architecture import Architecture

    architecture = Architecture(f"resnet{depth}_{style}", 1.0, tuple(filters), tuple(kernels), keypoints)
    return architecture, random_state(architecture, seed)
