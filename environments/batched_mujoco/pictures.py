"""Pictures of simulations, by Gymnasium's own renderer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

from environments.batched_mujoco.task import CameraConfig

OPTIONS = ("width", "height", "camera_id", "camera_name", "max_geom", "visual_options")


class Pictures:
    """A renderer for each simulation that is drawn, made when it first is.

    Args:
        default_camera_config: attributes of the camera.
        width, height: in pixels.
        camera_id, camera_name: one of the model's cameras, by number or name.
        max_geom: how many geometries are drawn at most.
        visual_options: MuJoCo's visual flags, by number.
    """

    def __init__(
        self,
        default_camera_config: CameraConfig,
        *,
        width: int = 480,
        height: int = 480,
        camera_id: int | None = None,
        camera_name: str | None = None,
        max_geom: int = 1000,
        visual_options: dict[int, bool] | None = None,
    ) -> None:
        self.size = (width, height)
        self._options: dict[str, Any] = {
            "default_cam_config": default_camera_config,
            "width": width,
            "height": height,
            "max_geom": max_geom,
            "camera_id": camera_id,
            "camera_name": camera_name,
            "visual_options": visual_options,
        }
        self._renderers: dict[int, Any] = {}

    def draw(
        self,
        index: int,
        model: mujoco.MjModel,
        datas: Sequence[mujoco.MjData],
        render_mode: str | None,
    ) -> Any:
        """One simulation: an array (height, width, 3) uint8, or what the render mode gives."""
        if index not in self._renderers:
            self._renderers[index] = MujocoRenderer(model, datas[index], **self._options)
        return self._renderers[index].render(render_mode)

    def close(self) -> None:
        """Free what has been opened."""
        while self._renderers:
            self._renderers.popitem()[1].close()
