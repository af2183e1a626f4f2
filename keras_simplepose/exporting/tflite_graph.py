"""TFLite files as graphs: puts one network into several signatures, and checks what operators a file holds.

The converter quantises whatever it is given: coordinates in 8 bits would be useless, and it writes a network that two
signatures share twice if they differ in shape. So the network alone is converted as the user wants it quantised, the
geometry and codec around it ("the shell") as float32, and the two are joined here.
"""

import copy
import zipfile
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from keras_simplepose.prediction.exported_model import METADATA_NAME
from keras_simplepose.utils.errors import UserError

HOLE_INPUT, HOLE_OUTPUT = "network_result", "network_argument"  # A shell's input and output where the network goes.
_FILE_IDENTIFIER = b"TFL3"
_FORBIDDEN = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")


def read_model(content: bytes) -> Any:
    """A TFLite file as the schema's objects."""
    return schema.ModelT.InitFromPackedBuf(bytearray(content), 0)


def write_model(model: Any) -> bytes:
    """The bytes of a TFLite file."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())


def join(shell: Any, network: Any) -> Any:
    """Puts a network into every signature of a shell.

    Args:
        shell: a model whose signatures each have an input `HOLE_INPUT` and an output `HOLE_OUTPUT` beside their own.
        network: a model of one subgraph with one input and one output.

    Returns:
        a model with the shell's signatures less those two, sharing the network's weights; no tensor's name repeats in
        a subgraph.
    """
    joined = copy.copy(shell)
    first_buffer, first_code = len(shell.buffers), len(shell.operatorCodes)
    joined.buffers = [*shell.buffers, *network.buffers]
    joined.operatorCodes = [*shell.operatorCodes, *network.operatorCodes]
    joined.metadata, joined.metadataBuffer = None, None
    joined.subgraphs, joined.signatureDefs = [], []
    for signature in shell.signatureDefs:
        graph = copy.deepcopy(shell.subgraphs[signature.subgraphIndex])
        inputs = {_text(entry.name): entry.tensorIndex for entry in signature.inputs}
        outputs = {_text(entry.name): entry.tensorIndex for entry in signature.outputs}
        hole = (outputs.pop(HOLE_OUTPUT), inputs.pop(HOLE_INPUT))
        _inline(graph, network.subgraphs[0], hole, first_buffer, first_code)
        graph.inputs, graph.outputs = list(inputs.values()), list(outputs.values())
        make_names_unique(graph)
        joined.signatureDefs.append(_signature(_text(signature.signatureKey), inputs, outputs, len(joined.subgraphs)))
        joined.subgraphs.append(graph)
    return joined


def _inline(graph: Any, network: Any, hole: tuple[int, int], first_buffer: int, first_code: int) -> None:
    """Adds the network's tensors and operators to a graph, between the tensors `hole`, in an order that can be run."""
    network = copy.deepcopy(network)
    place = {int(network.inputs[0]): hole[0], int(network.outputs[0]): hole[1], -1: -1}
    for index, tensor in enumerate(network.tensors):
        if index not in place:
            tensor.buffer += first_buffer
            place[index] = len(graph.tensors)
            graph.tensors.append(tensor)
    for operator in network.operators:
        operator.opcodeIndex += first_code
        operator.inputs = [place[int(index)] for index in operator.inputs]
        operator.outputs = [place[int(index)] for index in operator.outputs]
        graph.operators.append(operator)
    graph.operators = _runnable_order(graph.operators)


def make_names_unique(graph: Any) -> None:
    """Numbers repeated tensor names: LiteRT goes by index, but OpenVINO and others take two of one name for one."""
    taken = {_text(tensor.name or b"") for tensor in graph.tensors}
    seen: set[str] = set()
    for tensor in graph.tensors:
        name = base = _text(tensor.name or b"")
        number = 0
        while name in seen or (number and name in taken):
            number += 1
            name = f"{base}_{number}"
        seen.add(name)
        tensor.name = name


def _runnable_order(operators: list[Any]) -> list[Any]:
    """Operators after those that make their inputs, otherwise in the order given."""
    pending = {int(index) for operator in operators for index in operator.outputs}
    ordered, waiting = [], list(operators)
    while waiting:
        late = []
        for operator in waiting:
            if pending.intersection(map(int, operator.inputs)):
                late.append(operator)
            else:
                ordered.append(operator)
                pending.difference_update(map(int, operator.outputs))
        if len(late) == len(waiting):
            raise ValueError("the joined graph has a cycle")
        waiting = late
    return ordered


def _signature(key: str, inputs: dict[str, int], outputs: dict[str, int], subgraph: int) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = key, subgraph
    signature.inputs, signature.outputs = [], []
    for entries, named in ((signature.inputs, inputs), (signature.outputs, outputs)):
        for name, index in named.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, index
            entries.append(entry)
    return signature


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def operator_names(model: Any) -> set[str]:
    """The names of the operators in use; a custom or Flex operator as "CUSTOM …"."""
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    used = {operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators}
    found = set()
    for index in used:
        code = model.operatorCodes[index]
        # Old files have the code in a byte that ends at 127.
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        found.add(f"CUSTOM {_text(code.customCode or b'')}" if code.customCode else names[number])
    return found


def check_operators(model: Any, where: str) -> None:
    """Checks that a model runs on the bare TFLite runtime.

    Raises:
        UserError: it has variables, custom or Flex operators; the message names them.
    """
    wrong = sorted(name for name in operator_names(model) if name.startswith(("CUSTOM", *_FORBIDDEN)))
    if wrong:
        raise UserError(f"{where}: the converter put in {', '.join(wrong)}, which no bare TFLite runtime can run")


def append_metadata(path: Path, text: str) -> None:
    """Appends the metadata as a ZIP archive, TFLite's way to carry associated files: runtimes do not see it."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(METADATA_NAME), text)
