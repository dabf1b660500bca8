"""The geometry kernel's side of CAD: everything that needs CadQuery, and all that runs in the sandbox's processes.

`runner` executes a program in its locked child; `meter` measures the shape it shipped in another locked process;
`profile` tells the sandbox of both. Nothing else of the package imports CadQuery or OCP.
"""
