"""What the PL/Python functions of the database call: plain modules that never import plpy."""
