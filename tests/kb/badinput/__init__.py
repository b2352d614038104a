"""The catalogue of bad inputs, as data: B01 to B70 and B103. What each must give stands beside it; how it is tried and what
is looked at after every case is in test_bad_input.py."""
