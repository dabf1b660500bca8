"""GFlowNet environments: hypergrids and bit sequences, with known laws to sample."""
