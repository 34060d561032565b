"""Classic models: trees, linear models, support vectors, feature engineering, pipelines.

There is one file per family. Each kind of model is one function, named as in the specification,
whose parameters are the fields of the kind's message. It is registered with `@classic()`. It checks
the whole message and returns a `Step`, whose `run` computes output features from input features.

    @classic()
    def scaler(model: Interface, *, shiftValue: Floats = (), scaleValue: Floats = ()) -> Step: ...

`model.ClassicModel` runs one step, `pipeline.PipelineModel` several models one after another.

A step computes with NumPy in double precision, not with `ai.onnx.ml` operators: Core ML's classic
models use doubles, the weights of those operators are float32 (except for trees), and there is no
operator for a recommender, a probit regressor or an optional input. Therefore these models cannot
be exported with `to_onnx`.
"""
