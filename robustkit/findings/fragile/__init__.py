"""Which objects flip most easily, where they are on the sky, and of which kind they are."""
