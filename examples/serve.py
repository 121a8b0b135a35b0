"""Serve a model that `nlcli export-model --format onnx` wrote: MODEL=exported/mine uvicorn serve:app"""

import io
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from fastapi import FastAPI, HTTPException, Request
from PIL import Image, ImageOps

FOLDER = Path(os.environ["MODEL"])
ABOUT = json.loads((FOLDER / "export.json").read_text())
SIZE, CLASSES = ABOUT["given"]["preprocessing"]["size"], ABOUT["classes"]
assert ABOUT["given"]["preprocessing"]["resize"] == "stretch", "this model wants the middle of pictures cut out"
THRESHOLDS = [one["value"] for one in (ABOUT["thresholds"] or {}).get("by_class", [])]
session = onnxruntime.InferenceSession(FOLDER / "model.onnx")
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> dict:
    """The scores of the image that is the body of the request, and the classes that it is given."""
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(await request.body()))).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise HTTPException(400, "the body is no image that can be read") from error
    pixels = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    scores = session.run(["scores"], {"images": pixels[None]})[0][0]
    reached = scores >= THRESHOLDS if THRESHOLDS else scores == scores.max()
    given = [name for name, one in zip(CLASSES, reached, strict=True) if one]
    return {"given": given, "scores": dict(zip(CLASSES, scores.tolist(), strict=True))}
