"""What every Penstock process shares."""
