"""Physical faults as threats: what an adversary who chooses a fault's own parameters can do."""
