//! What the tests share: names of the tiny models, random numbers.

pub const MODELS: [&str; 4] = ["llama", "qwen2", "qwen3", "gemma3"];

/// Even numbers within `bound` of 0 (xorshift64, Marsaglia 2003).
pub struct Random(pub u64);

impl Random {
    pub fn within(&mut self, bound: f32) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        bound * ((self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
    }

    pub fn floats(&mut self, count: usize, bound: f32) -> Vec<f32> {
        (0..count).map(|_| self.within(bound)).collect()
    }

    pub fn ids(&mut self, count: usize, vocab: usize) -> Vec<u32> {
        (0..count)
            .map(|_| ((self.within(0.5) + 0.5) * vocab as f32) as u32 % vocab as u32)
            .collect()
    }
}
