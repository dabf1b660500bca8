"""GFlowNets: samplers of objects x with probability proportional to a reward R(x)."""
