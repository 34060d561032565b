"""Where the meaning of an op is open, or a device differs from the text: what we chose.

What a device is publicly known to do wins over the text; next come coremltools' own tests, which
Apple runs on devices, then its builders and its NumPy formulas (value inference). `pocketlens ops`
and the table of supported ops list every row.
"""

from __future__ import annotations

from pocketlens.coreml.ops.choice import NO_TEXT, NUMPY, SIMPLEST, TESTS, Choice

__all__ = ["GRAPH_CHOICES"]

GRAPH_CHOICES = (
    # Pooling and convolution
    Choice(
        "what the last window lacks in ceil_mode counts as padding: an average divides by the "
        "whole window, unless padding is excluded",
        "the text gives only the number of windows; PyTorch divides by what is there",
        "coremltools issues 2772 and 2844, which print the numbers of a Mac",
        mil="avg_pool",
    ),
    Choice(
        "what the last window of includeLastPixel lacks counts as padding: an average divides by "
        "the whole window, unless padding is excluded",
        "the text gives only the number of windows; Caffe divides by what is there",
        "avg_pool in ceil_mode, which coremltools writes as this layer",
        neural_network="pooling",
    ),
    Choice(
        "padding never counts as the maximum",
        "the text of the 3D layer calls padding zeros",
        f"{TESTS} of pooling over two dimensions",
        mil="max_pool",
        neural_network="pooling pooling3d",
    ),
    Choice(
        "the sum of squares of a window is not divided by its size",
        "the text says only L2",
        f"{TESTS}: the square root of the sum",
        mil="l2_pool",
        neural_network="pooling",
    ),
    Choice(
        "a given output shape crops evenly, the odd element at the end",
        NO_TEXT,
        TESTS,
        mil="conv_transpose",
        neural_network="convolution convolution3d",
    ),
    Choice(
        "int8DynamicQuantize: the weights are int8, but the input is not quantized",
        "the text does not say how the input is quantized",
        f"{TESTS}, which expect results without it",
        neural_network="innerProduct batchedMatmul",
    ),
    # Axes and shapes
    Choice(
        "with 3 dimensions it runs along the last one, with more along the third last",
        "the text says the third last for every rank; a device does not do so",
        "coremltools issues 1714 and 2856",
        neural_network="softmax",
    ),
    Choice(
        "axes may come in any order; gamma and beta have the shape of the sorted axes",
        "the text does not say; a device is known to return wrong numbers for unsorted axes",
        "WebNN issue 748",
        mil="layer_norm",
    ),
    Choice(
        "an end of 0 means the end of the dimension",
        "the text says that a negative end counts from the end, and has 0 as the default",
        "Apple's validator, which computes the shape in this way",
        neural_network="slice",
    ),
    Choice(
        "if the size does not divide, the first parts get one element more",
        NO_TEXT,
        TESTS,
        neural_network="splitND",
    ),
    Choice(
        "the whole sequence is repeated, not each step",
        "the text can be read in both ways",
        "coremltools' builder: repetitions along the sequence axis",
        neural_network="sequenceRepeat",
    ),
    # Numbers
    Choice(
        "halves round to the even integer",
        "the text says that 0.5 rounds to 0; devices differ from each other",
        "WebNN issue 817 (the GPU and the Neural Engine differ); NumPy in coremltools",
        mil="round quantize",
        neural_network="round",
    ),
    Choice(
        "a quotient of integers rounds toward zero",
        "the text does not say how integers are divided",
        TESTS,
        mil="real_div scatter scatter_along_axis scatter_nd",
    ),
    Choice(
        "the remainder has the sign of y; a division of integers by zero is an error",
        "the text says only x % y",
        NUMPY,
        mil="mod",
        neural_network="modBroadcastable",
    ),
    Choice(
        "integers: a division by zero gives the number that the processor makes of infinity",
        NO_TEXT,
        SIMPLEST,
        mil="real_div floor_div",
    ),
    Choice(
        "a negative number to a power that is not an integer is NaN",
        NO_TEXT,
        NUMPY,
        mil="pow",
        neural_network="powBroadcastable unary",
    ),
    Choice(
        "a floating-point number is cut off toward zero; one that the type cannot hold gives what "
        "the processor gives",
        "the text does not say how numbers are converted",
        "NumPy in coremltools; WebNN issue 489: processors differ",
        mil="cast",
    ),
    Choice(
        "sums and products of integers wrap around",
        "the text does not say what happens beyond 32 bits",
        "NumPy in coremltools",
        mil="add sub mul square matmul linear cumsum reduce_sum reduce_prod reduce_sum_square",
    ),
    Choice(
        "integers: computed in floating point, then cut off toward zero",
        "the text allows int32, whose result is not an integer",
        NUMPY,
        mil="reduce_mean reduce_l2_norm reduce_log_sum reduce_log_sum_exp exp2 pow",
    ),
    Choice(
        "operands of different types are converted to float32, int32 to float64; the result has "
        "the type of x",
        "iOS 17 allows other types for the weights, and does not say in which one it computes",
        "the type that coremltools infers for the result",
        mil="conv conv_transpose linear matmul",
    ),
    Choice(
        "epsilon is added before the logarithm",
        "the formula in the text of LOG has no epsilon",
        TESTS,
        neural_network="unary",
    ),
    Choice(
        "the variance divides by the number of elements, without Bessel's correction; epsilon is "
        "added to the variance",
        NO_TEXT,
        f"{TESTS}, which compare with PyTorch and TensorFlow",
        mil="batch_norm instance_norm layer_norm",
        neural_network="batchnorm mvn layerNormalization",
    ),
    Choice(
        "with an even size, the window has one channel more after its center",
        "the text has no rule for even sizes",
        f"{TESTS}, which compare with PyTorch",
        mil="local_response_norm",
        neural_network="lrn",
    ),
    Choice(
        "a row of scores that a boolean mask excludes completely is NaN",
        NO_TEXT,
        "the formula in the text: a softmax of minus infinity only",
        mil="scaled_dot_product_attention",
    ),
    Choice(
        "the scaled tanh has alpha 1 and beta 1 where the file sets none",
        "the text says 2/3 and 1.7159 in one place",
        TESTS,
        neural_network="uniDirectionalLSTM biDirectionalLSTM simpleRecurrent gru",
    ),
    Choice(
        "reversed steps come out in reverse order: the output for the last element comes first",
        NO_TEXT,
        TESTS,
        mil="rnn gru lstm",
    ),
    Choice(
        "without reset_after, the reset gate is applied before the product, and the bias after it",
        "the formula in the text of iOS 15 has the gate after the product",
        f"{TESTS}, which have a formula of their own",
        mil="gru",
    ),
    # Order, ties, indices
    Choice(
        "of equal elements, the first one",
        "the text guarantees no order of equal elements",
        NUMPY,
        mil="reduce_argmax reduce_argmin classify",
        neural_network="argMax argMin reduce",
    ),
    Choice(
        "equal elements keep their order; sort=False sorts, too",
        "the text has no rule for equal elements, and none for the order without sort",
        f"{NUMPY}; a stable order has the same result everywhere",
        mil="topk argsort",
        neural_network="topK argSort",
    ),
    Choice(
        "the indices come in row-major order",
        NO_TEXT,
        NUMPY,
        mil="non_zero",
        neural_network="whereNonZero",
    ),
    Choice(
        "a negative index counts from the end, also since iOS 17 without validate_indices; one out "
        "of range is an error",
        "the text calls it undefined since iOS 17, and says nothing for networks",
        "the text of iOS 15 and 16",
        mil="gather gather_along_axis gather_nd scatter scatter_along_axis scatter_nd",
        neural_network="gather gatherAlongAxis gatherND scatter scatterAlongAxis scatterND",
    ),
    Choice(
        "the mode is add where the file sets none",
        "the description says update, the definition add",
        "coremltools' definition, which fills in the value",
        mil="scatter scatter_along_axis scatter_nd",
    ),
    Choice(
        "an index that is negative or too large gives off_value everywhere",
        NO_TEXT,
        "TensorFlow, from which coremltools converts it",
        mil="one_hot",
        neural_network="oneHot",
    ),
    Choice(
        "an index out of range is an error; a negative one counts from the end",
        NO_TEXT,
        "as gather",
        neural_network="embedding embeddingND",
    ),
    Choice(
        "boxes of equal score keep their order; a box is dropped above the threshold, not at it; "
        "if all scores are too low, the best box is kept; what is missing is 0, its index -1",
        "the text has no rule for equal scores and for no box at all",
        TESTS,
        mil="non_maximum_suppression",
        neural_network="NonMaximumSuppression",
    ),
    Choice(
        "the class of a box that suppresses others of its class is its best one",
        "the text does not say what the class of a box with several scores is",
        TESTS,
        mil="non_maximum_suppression",
        neural_network="NonMaximumSuppression",
    ),
    # Images
    Choice(
        "each result is the element that contains its center",
        "the text says nearest neighbor, not which one between two",
        f"{TESTS}, which compare with TensorFlow's half-pixel centers",
        mil="resize_nearest_neighbor resize",
    ),
    Choice(
        "each result is the element that contains its first edge; with a factor that is not an "
        "integer, positions are scaled by the ratio of the sizes",
        "the text gives the size only",
        TESTS,
        mil="upsample_nearest_neighbor",
        neural_network="upsample",
    ),
    Choice(
        "DEFAULT samples at multiples of old size / new size, from the first element on",
        "the text calls it the mode of TensorFlow, which changed",
        f"{TESTS}: TensorFlow's resize_bilinear without align_corners",
        mil="resize_bilinear resize",
        neural_network="resizeBilinear upsample",
    ),
    Choice(
        "align_corners and half_pixel_centers both false: DEFAULT",
        "the text does not define the combination",
        f"{TESTS}, which compare with TensorFlow",
        mil="upsample_bilinear",
    ),
    Choice(
        "points outside the image are 0 before iOS 16",
        "the text has a value for them only since iOS 16",
        TESTS,
        mil="crop_resize",
        neural_network="cropResize",
    ),
    Choice(
        "halves between two elements round to the even one",
        NO_TEXT,
        "PyTorch's grid_sample, from which coremltools converts it",
        mil="resample",
    ),
    # Lists and loops
    Choice(
        "an element size that is not set is taken from the first element written",
        NO_TEXT,
        SIMPLEST,
        mil="make_list",
    ),
)
