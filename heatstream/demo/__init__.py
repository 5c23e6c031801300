"""What a user meets: the command line, the overlay and the job behind ``make demo``."""
