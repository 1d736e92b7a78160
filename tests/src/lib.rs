//! Black-box tests of nstrace.
