"""Saves the model as MLflow does, to ``model`` in this folder, with the signature that its documentation asks for."""

import json
import os
import shutil
from pathlib import Path

FOLDER = Path("model")
GIVEN = [Path(__file__), Path(os.environ["MODEL_FILE"]), Path(os.environ["ROWS_FILE"])]


def save() -> None:
    """Probabilities instead of labels; as a pickle, since skops, the default, wants each type of a model trusted."""
    import joblib
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import infer_signature

    facts = json.loads(Path(os.environ["ROWS_FILE"]).read_text(encoding="utf-8"))
    frame = pd.DataFrame(facts["rows"])[facts["columns"]]
    model = joblib.load(os.environ["MODEL_FILE"])
    shutil.rmtree(FOLDER, ignore_errors=True)
    mlflow.sklearn.save_model(
        model,
        FOLDER,
        signature=infer_signature(frame, model.predict_proba(frame)),
        pyfunc_predict_fn="predict_proba",
        serialization_format="cloudpickle",
    )


if __name__ == "__main__":
    written = FOLDER / "MLmodel"
    if not written.exists() or written.stat().st_mtime < max(one.stat().st_mtime for one in GIVEN):
        save()
