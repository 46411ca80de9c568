//! What every cell has to say: its equations for one step of one series, forwards and backwards.
//! It must not know time, batch or layers.

use crate::real::Real;

/// The elementwise part of a cell, for one step of one series. All slices have H elements a gate.
pub trait Recurrence<F: Real> {
    /// One step of one series.
    fn forward(&self, step: ForwardStep<'_, F>);
    /// Its derivatives, from what `forward` left.
    fn backward(&self, step: BackwardStep<'_, F>);
}

/// One step forwards.
pub struct ForwardStep<'a, F> {
    /// In: W_ih x_t + b_ih. Out: the activated gates.
    pub gates: &'a mut [F],
    /// W_hh h_{t-1} + b_hh
    pub hidden: &'a [F],
    /// h_{t-1}
    pub h_before: &'a [F],
    /// c_{t-1}, which the LSTM alone has.
    pub c_before: &'a [F],
    /// Out: h_t
    pub h: &'a mut [F],
    /// Out: c_t
    pub c: &'a mut [F],
}

/// One step backwards. `d_x` is the derivative of the loss by x.
pub struct BackwardStep<'a, F> {
    /// As `ForwardStep` left it.
    pub gates: &'a [F],
    /// W_hh h_{t-1} + b_hh
    pub hidden: &'a [F],
    /// h_{t-1}
    pub h_before: &'a [F],
    /// c_{t-1}, which the LSTM alone has.
    pub c_before: &'a [F],
    /// h_t
    pub h: &'a [F],
    /// c_t, which the LSTM alone has.
    pub c: &'a [F],
    /// By h_t, from the layer above and from the next step together.
    pub d_h: &'a [F],
    /// In: by c_t, from the next step. Out: by c_{t-1}.
    pub d_c: &'a mut [F],
    /// Out: by W_ih x_t + b_ih.
    pub d_input: &'a mut [F],
    /// Out: by W_hh h_{t-1} + b_hh.
    pub d_hidden: &'a mut [F],
    /// Out, in zeros: by h_{t-1}, without the way through W_hh.
    pub d_h_before: &'a mut [F],
}
