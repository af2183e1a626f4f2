"""mmpose's MobileNetV2, written here under mmpose's tensor names, against its conversion."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from keras_simplepose.config import ConvertConfig  # noqa: E402
from keras_simplepose.conversion.converter import convert_checkpoint  # noqa: E402
from keras_simplepose.conversion.proof import compare, random_crops  # noqa: E402
from keras_simplepose.models.stages import pose_spec  # noqa: E402
from keras_simplepose.utils.errors import UserError  # noqa: E402

STAGES = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
SIZE = (64, 96)


class Unit(nn.Module):
    """Convolution and normalisation, as `conv` and `bn`, and ReLU6 unless told otherwise."""

    def __init__(self, inputs, outputs, kernel, stride=1, groups=1, activates=True):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.activates = activates

    def forward(self, x):
        x = self.bn(self.conv(x))
        return nn.functional.relu6(x) if self.activates else x


class Block(nn.Module):
    def __init__(self, inputs, outputs, expansion, stride):
        super().__init__()
        hidden = inputs * expansion
        units = [Unit(inputs, hidden, 1)] if expansion > 1 else []
        units += [Unit(hidden, hidden, 3, stride, hidden), Unit(hidden, outputs, 1, activates=False)]
        self.conv = nn.Sequential(*units)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = Unit(3, 32, 3, 2)
        channels = 32
        for number, (expansion, outputs, count, stride) in enumerate(STAGES, start=1):
            blocks = []
            for index in range(count):
                blocks.append(Block(channels, outputs, expansion, 1 if index else stride))
                channels = outputs
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.conv2 = Unit(channels, 1280, 1)

    def forward(self, x):
        x = self.conv1(x)
        for number in range(1, len(STAGES) + 1):
            x = getattr(self, f"layer{number}")(x)
        return self.conv2(x)


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        parts, channels = [], 1280
        for filters in (24, 16, 16):
            parts += [nn.ConvTranspose2d(channels, filters, 4, 2, 1, bias=False), nn.BatchNorm2d(filters), nn.ReLU()]
            channels = filters
        self.deconv_layers, self.final_layer = nn.Sequential(*parts), nn.Conv2d(channels, 17, 1)

    def forward(self, x):
        return self.final_layer(self.deconv_layers(x))


def network(head="head"):
    """A network of random weights, and statistics of random pixels, whose largest heatmap value is near 1."""
    torch.manual_seed(0)
    model = nn.Sequential()
    model.add_module("backbone", Backbone())
    model.add_module(head, Head())
    pixels = torch.randn(8, 3, *SIZE)
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = 1.0
                part.weight.uniform_(0.5, 1.5)
                part.bias.normal_(0, 0.2)
        model.train()(pixels)
        model.eval()
        last = getattr(model, head).final_layer
        last.weight /= model(pixels).abs().max()
    return model


@pytest.mark.parametrize("head", ["head", "keypoint_head"])
def test_mmposes_mobilenet_is_converted_exactly(head, tmp_path):
    model = network(head)
    path = tmp_path / "td-hm_mobilenetv2_8xb64-210e_coco-64x96.pth"
    torch.save({"meta": {"epoch": 210}, "state_dict": model.state_dict()}, path)
    conversion = convert_checkpoint(ConvertConfig(checkpoint=str(path)))
    assert conversion.architecture.backbone == "mobilenetv2_pytorch" and conversion.architecture.alpha == 1
    assert {each.name: each.value for each in conversion.settings}["source"] == "mmpose"
    assert pose_spec(conversion.model).input_size == SIZE
    crops = random_crops(SIZE)[2:6]
    mean, std = (np.array(getattr(conversion.normalization, name)) for name in ("mean", "std"))
    pixels = torch.from_numpy(((crops - mean) / std).transpose(0, 3, 1, 2).astype(np.float32))
    with torch.no_grad():
        theirs = model(pixels).numpy().transpose(0, 2, 3, 1)
    assert np.abs(theirs).max() > 0.3
    np.testing.assert_allclose(conversion.model(crops, training=False), theirs, atol=1e-4)
    (comparison,) = compare(conversion, {"random": crops})
    assert comparison.agrees


def test_a_part_of_mmposes_mobilenet_that_is_missing_is_named(tmp_path):
    state = {
        name: value for name, value in network().state_dict().items() if not name.startswith("backbone.layer7.0.conv.2")
    }
    torch.save(state, tmp_path / "mobilenet_coco.pth")
    with pytest.raises(UserError, match="no whole MobileNetV2"):
        convert_checkpoint(ConvertConfig(checkpoint=str(tmp_path / "mobilenet_coco.pth")))
