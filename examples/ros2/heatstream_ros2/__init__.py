"""People in a camera's topic, for ROS 2, by REP-155."""
