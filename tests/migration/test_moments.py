"""Moments of other programs' normalizers, VecNormalize's pickle among them, which is read as data."""

import numpy as np
import pytest

from agents.weights.migration.moments import read_moments
from helpers.errors import CheckpointError, ConfigurationError
from tests.migration.stage import CLOSE, FOLDER, loaded, migrate, stored


def test_moments_of_vec_normalize_are_read_as_data(tmp_path):
    """Its pickle gives the numbers that its library wrote, and no name in it is looked up."""
    path = FOLDER / "ppo_normalised_vecnormalize.pkl"
    theirs, ours = read_moments(FOLDER / "ppo_normalised_moments.npz"), read_moments(path)
    assert ours is not None and theirs is not None
    np.testing.assert_array_equal(ours.mean, theirs.mean)
    np.testing.assert_array_equal(ours.variance, theirs.variance)
    assert (ours.count, ours.epsilon, ours.clip) == (theirs.count, theirs.epsilon, theirs.clip)
    text = path.read_bytes()
    unnormalised = tmp_path / "raw.pkl"
    unnormalised.write_bytes(text.replace(b"norm_obs\x94\x88", b"norm_obs\x94\x89"))
    assert read_moments(unnormalised) is None
    harmful = tmp_path / "harmful.pkl"
    harmful.write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(tmp_path / "made").encode())
    modern = tmp_path / "modern.pkl"
    modern.write_bytes(b"\x80\x04cos\nsystem\nX\x01\x00\x00\x00x\x85R.")
    for file, words in (
        (harmful, "no pickle of protocol 2"),
        (modern, "holds a os.system, not a Vec"),
    ):
        with pytest.raises(CheckpointError, match=words):
            read_moments(file)
    for cut in range(0, len(text), 7):
        (tmp_path / "cut.pkl").write_bytes(text[:cut])
        with pytest.raises(CheckpointError):
            read_moments(tmp_path / "cut.pkl")
    assert not (tmp_path / "made").exists()


def test_a_vec_normalize_beside_the_model_is_not_forgotten(tmp_path):
    for name in ("ppo_normalised.zip", "ppo_normalised_vecnormalize.pkl"):
        (tmp_path / name.replace("ppo_normalised_", "")).write_bytes((FOLDER / name).read_bytes())
    file, beside = tmp_path / "ppo_normalised.zip", tmp_path / "vecnormalize.pkl"
    with pytest.raises(ConfigurationError, match=f"Give --migrate_moments={beside}"):
        migrate(file, "", tmp_path)
    theirs = stored("ppo_normalised")
    agent = loaded(migrate(file, "", tmp_path, f"--migrate_moments={beside}"))
    ours, _ = agent.predict(theirs["observations"], explore=False)
    np.testing.assert_allclose(ours, theirs["unclipped"], **CLOSE)
