"""Times the network of a well-known Keras tutorial of 2018 on MNIST. Needs only Keras.

    KERAS_BACKEND=tensorflow python keras_walk.py mnist.npz EPOCHS SEED

conv 3×3×32 → pool → conv 2×2×32 → pool → conv 2×2×32 → pool → dropout 0.3 → dense 500 → dropout 0.4
→ dense 10; Adadelta at rate 1, batches of 128, float32 pixels in [0, 1], one-hot labels.
"""

import json
import sys
import time

started = time.perf_counter()

import keras  # noqa: E402
import numpy as np  # noqa: E402

imported = time.perf_counter()


class Clock(keras.callbacks.Callback):
    """Measures the duration of an epoch and of its first batch, without evaluation."""

    def on_epoch_begin(self, *_: object, **__: object) -> None:
        self.began = time.perf_counter()

    def on_train_batch_end(self, batch: int, **_: object) -> None:
        if batch == 0:
            self.first_batch = time.perf_counter() - self.began

    def on_epoch_end(self, *_: object, **__: object) -> None:
        self.seconds = time.perf_counter() - self.began


if __name__ == "__main__":
    file, epochs, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    keras.utils.set_random_seed(seed)
    data = np.load(file)
    train, test = (data[f"{part}_images"].astype("float32") / 255 for part in ("train", "test"))
    answers, expected = (
        keras.utils.to_categorical(data[f"{part}_labels"], 10) for part in ("train", "test")
    )
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 2, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 2, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(500, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adadelta(1.0), loss="categorical_crossentropy", metrics=["accuracy"]
    )
    print(json.dumps({"import_seconds": imported - started}), flush=True)
    clock, seconds = Clock(), 0.0
    for epoch in range(1, epochs + 1):
        model.fit(train, answers, batch_size=128, epochs=1, verbose=0, callbacks=[clock])
        seconds += clock.seconds
        accuracy = model.evaluate(test, expected, batch_size=500, verbose=0)[1]
        row = {"epoch": epoch, "seconds": seconds, "accuracy": accuracy}
        if epoch == 1:
            row["first_batch_seconds"] = clock.first_batch
        print(json.dumps(row), flush=True)
        if accuracy >= 0.99:
            break
