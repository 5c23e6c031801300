"""Installs the node: `pip install ./examples/ros2` in an environment that sees ROS 2's packages, or colcon."""

from setuptools import setup

setup(
    name="heatstream_ros2",
    version="0.1.0",
    license="Apache-2.0",
    packages=["heatstream_ros2"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/heatstream_ros2"]),
        ("share/heatstream_ros2", ["package.xml"]),
    ],
    install_requires=["heatstream"],
    entry_points={
        "console_scripts": ["heatstream-ros2 = heatstream_ros2.node:main", "people = heatstream_ros2.node:main"]
    },
)
