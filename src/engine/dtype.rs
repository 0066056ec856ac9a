//! Element types of tensors and the block layouts of the quantised ones.

use std::fmt;

/// How the elements of a tensor are stored.
///
/// Quantised types store each row as consecutive blocks, byte for byte as GGUF does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(non_camel_case_types)] // the names GGUF files and their users know
pub enum DType {
    /// 32-bit float, 4 bytes.
    F32,
    /// 16-bit IEEE float, 2 bytes.
    F16,
    /// Upper half of a 32-bit float, 2 bytes.
    BF16,
    /// Unsigned 32-bit integer, 4 bytes: token ids and positions.
    U32,
    /// Blocks of 32 weights in 8 bits, with an `f16` scale.
    Q8_0,
    /// Blocks of 32 weights in 4 bits, with an `f16` scale.
    Q4_0,
    /// Blocks of 32 weights in 4 bits, with an `f16` scale and minimum.
    Q4_1,
    /// Blocks of 32 weights in 5 bits, with an `f16` scale.
    Q5_0,
    /// Blocks of 32 weights in 5 bits, with an `f16` scale and minimum.
    Q5_1,
    /// Blocks of 256 weights in 4 bits; each 32 have a 6-bit scale and minimum.
    Q4_K,
    /// Blocks of 256 weights in 5 bits; each 32 have a 6-bit scale and minimum.
    Q5_K,
    /// Blocks of 256 weights in 6 bits; each 16 have an 8-bit scale.
    Q6_K,
}

impl DType {
    /// Every type a weight may have.
    pub const WEIGHTS: [DType; 11] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::Q8_0,
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Q4_K,
        DType::Q5_K,
        DType::Q6_K,
    ];

    /// Elements per block; 1 for plain types.
    pub const fn block_len(self) -> usize {
        match self {
            DType::F32 | DType::F16 | DType::BF16 | DType::U32 => 1,
            DType::Q8_0 | DType::Q4_0 | DType::Q4_1 | DType::Q5_0 | DType::Q5_1 => 32,
            DType::Q4_K | DType::Q5_K | DType::Q6_K => 256,
        }
    }

    /// Bytes per block as files (and the CPU executor) hold it.
    pub const fn block_bytes(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::Q8_0 => 2 + 32,
            DType::Q4_0 => 2 + 16,
            DType::Q4_1 => 4 + 16,
            DType::Q5_0 => 2 + 4 + 16,
            DType::Q5_1 => 4 + 4 + 16,
            DType::Q4_K => 4 + 12 + 128,
            DType::Q5_K => 4 + 12 + 32 + 128,
            DType::Q6_K => 128 + 64 + 16 + 2,
        }
    }

    /// Whether elements can be addressed one by one.
    pub const fn is_plain(self) -> bool {
        self.block_len() == 1
    }

    /// Bytes of one row of `cols` elements in a file or in the CPU executor.
    /// `None` where `cols` is not a whole number of blocks or the size overflows.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(self.block_len()) {
            return None;
        }
        (cols / self.block_len()).checked_mul(self.block_bytes())
    }

    /// 32-bit words one block takes on a GPU, where every block starts on a word.
    pub const fn gpu_block_words(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 1,
            // Two elements share a word; rows are padded to a whole number of them.
            DType::F16 | DType::BF16 => 1,
            _ => self.block_bytes().div_ceil(4),
        }
    }

    /// 32-bit words one row of `cols` elements takes on a GPU.
    ///
    /// Rows of plain weights are padded to 16 bytes so that four elements can be loaded at once.
    pub const fn gpu_row_words(self, cols: usize) -> usize {
        match self {
            DType::F32 | DType::U32 => cols.next_multiple_of(4),
            DType::F16 | DType::BF16 => cols.div_ceil(2).next_multiple_of(4),
            _ => cols.div_ceil(self.block_len()) * self.gpu_block_words(),
        }
    }

    /// The name used in messages, tables and shader definitions.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "F32",
            DType::F16 => "F16",
            DType::BF16 => "BF16",
            DType::U32 => "U32",
            DType::Q8_0 => "Q8_0",
            DType::Q4_0 => "Q4_0",
            DType::Q4_1 => "Q4_1",
            DType::Q5_0 => "Q5_0",
            DType::Q5_1 => "Q5_1",
            DType::Q4_K => "Q4_K",
            DType::Q5_K => "Q5_K",
            DType::Q6_K => "Q6_K",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
