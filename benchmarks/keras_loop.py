"""The paper's CNN in Keras over random images, batch 64, Adagrad: prints images per second of the second epoch."""

import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
from keras import layers

COUNT = 12_800

model = keras.Sequential(
    [
        keras.Input((48, 48, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(128, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(256, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(7, activation="softmax"),
    ]
)
assert model.count_params() == 619_015
model.compile(keras.optimizers.Adagrad(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
rng = np.random.default_rng(0)
images, labels = rng.random((COUNT, 48, 48, 1), dtype=np.float32), rng.integers(0, 7, COUNT)
model.fit(images, labels, batch_size=64, verbose=0)
started = time.perf_counter()
model.fit(images, labels, batch_size=64, verbose=0)
print(COUNT / (time.perf_counter() - started))
