"""Answers that are known behind a closed door: nobody is told of a row that somebody else has asked it."""


def test_behind_a_door_nobody_is_told_which_rows_others_have_asked(open_house, tmp_path):
    """Neither by a word nor by the stages that only a row has which was not known, by either protocol."""
    with open_house(tmp_path, cache_bytes=10**6) as house:
        stages = []
        for role in ("predictor", "predictor", "operator"):
            with house.client(role=role) as client:
                reply = client.post("/v1/predict", json={"rows": [house.row]}, headers={"Origin": house.url})
            assert reply.status_code == 200, reply.text
            stages.append([one.partition(";")[0] for one in reply.headers["server-timing"].split(", ")])
        assert stages == [["read", "warnings", "write"]] * 3
        with house.client(role="admin") as client:
            told = client.get("/metrics").text
        assert 'aweigh_cache_hits_total{store="process"} 2' in told
