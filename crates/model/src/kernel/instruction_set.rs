//! The instructions that kernels run with, and which of them this CPU has.
//! It must not know kernels.

use pulp::Arch;

/// The instructions that kernels run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// The best that this CPU has.
    Best,
    /// None but the architecture's basic ones.
    Portable,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// All that this CPU can run.
    pub fn available() -> Vec<InstructionSet> {
        let all = [
            InstructionSet::Portable,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512,
            InstructionSet::Best,
        ];
        all.into_iter().filter(|path| path.arch().is_some()).collect()
    }

    /// The instructions as `pulp` dispatches on them; none if this CPU has not got them.
    pub(super) fn arch(self) -> Option<Arch> {
        match self {
            InstructionSet::Best => Some(Arch::new()),
            InstructionSet::Portable => Some(Arch::Scalar),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => pulp::x86::V3::try_new().map(Arch::V3),
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => pulp::x86::V4::try_new().map(Arch::V4),
        }
    }
}
