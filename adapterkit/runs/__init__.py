"""What work leaves behind: run directories, manifests, atomic writes, user errors."""
