"""The driver that gives each command a process of its own, and the good bundle that payloads are put into."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


class Driver:
    """Commands, each in a child of one process that has imported everything."""

    def __init__(self, config: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(HERE / "driver.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"AWEIGH_CONFIG_DIR": str(config), "AWEIGH_WORKERS": "1"},
        )

    def ask(self, **job: object) -> dict:
        """What became of one job."""
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def driver():
    made = Driver(Path(os.environ["AWEIGH_CONFIG_DIR"]))
    yield made
    made.close()


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """A folder with a sample, a good bundle, and one that holds a pickle and is signed by this user."""
    from sklearn.cluster import Birch
    from sklearn.linear_model import LogisticRegression

    import aweigh

    folder = tmp_path_factory.mktemp("good")
    frame = pd.DataFrame({"a": np.linspace(0, 1, 40), "b": np.linspace(5, -5, 40)})
    frame.to_csv(folder / "sample.csv", index=False)
    aweigh.pack(LogisticRegression().fit(frame, frame["a"] > 0.5), frame, name="good", output=folder / "good.aweigh")
    birch = Birch(n_clusters=2).fit(frame)
    aweigh.pack(birch, frame, name="good", output=folder / "pickled.aweigh", allow_pickle=True)
    return folder
