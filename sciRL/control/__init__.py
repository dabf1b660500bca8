"""Control: policies that act in vector environments, scripted or learnt."""
