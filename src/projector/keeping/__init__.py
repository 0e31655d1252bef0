"""Events at rest: encryption, compression, backups and archives."""
