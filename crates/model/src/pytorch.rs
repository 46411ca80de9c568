//! Holds the reference to PyTorch: the numbers of its networks, and what its training arrives at.
//! It must not know the learner. Losses and optimisers alone are held in their own tests.

mod networks;
mod training;
