"""What work leaves behind: run directories, manifests, atomic writes, locks, user errors."""
