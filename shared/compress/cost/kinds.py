"""The operators that onnxruntime executes, by what their time depends on."""

from __future__ import annotations

from types import MappingProxyType

_BY_KIND = {
    "elementwise": "Add Sub Mul Div Pow Sqrt Reciprocal Neg Abs Sign Floor Ceil Round Relu LeakyRelu PRelu Clip HardSigmoid HardSwish "
    "Min Max Sum Equal Less LessOrEqual Greater GreaterOrEqual And Or Not Xor IsNaN IsInf Cast Mod Trilu CumSum "
    "QLinearAdd QLinearMul QLinearLeakyRelu Dropout RotaryEmbedding",
    "select": "Where",
    "activation": "Gelu BiasGelu FastGelu QuickGelu Erf Tanh Sigmoid Exp Log Softplus Elu Selu Silu Mish Sin Cos QLinearSigmoid",
    "normalise": "LayerNormalization SkipLayerNormalization SimplifiedLayerNormalization SkipSimplifiedLayerNormalization "
    "RMSNormalization InstanceNormalization GroupNormalization BatchNormalization LpNormalization",
    "softmax": "Softmax LogSoftmax QLinearSoftmax",
    "reduce": "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSumExp ArgMax ArgMin "
    "GlobalAveragePool GlobalMaxPool QLinearGlobalAveragePool QLinearReduceMean TopK",
    "pool": "MaxPool AveragePool NhwcMaxPool QLinearAveragePool LpPool",
    "gather": "Gather GatherElements GatherND ScatterND ScatterElements EmbedLayerNormalization OneHot",
    "turn": "Transpose",
    "move": "Concat Split Slice Expand Pad Tile QLinearConcat DepthToSpace SpaceToDepth Resize Upsample",
    "quantise": "QuantizeLinear DynamicQuantizeLinear",
    "dequantise": "DequantizeLinear",
    "view": "Reshape Squeeze Unsqueeze Flatten Identity Shape Size ConstantOfShape Constant Range NonZero",
}
LIGHT = MappingProxyType({name: kind for kind, names in _BY_KIND.items() for name in names.split()})
"""Kind by operator, for those that multiply no matrices; one that is not here counts as ``elementwise``."""
CONVOLUTIONS = frozenset({"Conv", "FusedConv", "QLinearConv", "ConvInteger", "NhwcFusedConv"})
PRODUCTS = frozenset(
    {
        "MatMul",
        "FusedMatMul",
        "Gemm",
        "FusedGemm",
        "QGemm",
        "QLinearMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul",
    }
)
CONVOLUTIONAL = frozenset({"spatial", "pointwise", "depthwise"})
DENSE = frozenset({"gemm", "product"}) | CONVOLUTIONAL
"""Kinds whose ``work`` is multiply-accumulates."""
BY_ROW = frozenset({"normalise", "softmax"})
"""Kinds whose rows are those of the last axis."""
BY_SPAN = frozenset({"elementwise", "select"})
"""Kinds in which a smaller operand may be repeated: then a row is what lies between two repeats. Others have one row."""
CONVERSIONS = frozenset({"quantise", "dequantise"})
SECOND_OPERAND = MappingProxyType({"QGemm": 3, "QLinearMatMul": 3, "QLinearConv": 3})
"""Where the second matrix is among the inputs; 1 for all others."""
