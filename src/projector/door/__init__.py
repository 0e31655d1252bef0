"""What every event passes on its way in: redacted, bounded, cleaned."""
