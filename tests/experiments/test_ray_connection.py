"""Connecting to Ray: what is said where that cannot be."""

import pytest

from cmmlib.experiments.ray_connection import connected, require_ray
from cmmlib.experiments.ray_layers import RayLayers


def test_without_ray_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for asked in (require_ray, lambda: RayLayers(2)):
        with pytest.raises(ValueError, match=r"pip install 'cmmlib\[ray\]'"):
            asked()


def test_rays_client_is_refused_before_anything_starts():
    ray = pytest.importorskip("ray", reason="Ray is missing; to have it: pip install -e '.[ray]'")
    if ray.is_initialized():
        pytest.skip("a connection that is there is used")
    with pytest.raises(ValueError, match="give HOST:PORT or auto"), connected("ray://somewhere:10001"):
        pass
    assert not ray.is_initialized()
