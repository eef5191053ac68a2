//! Attention within windows, and the merging of pixels, from candle's operations.

use candle_core::{D, Result, Tensor};

use super::wide;
use crate::layout::Hwnc;
use crate::window_attention::{Grid, WindowSpec};

/// As [`crate::window_attention`]: window by window.
pub fn window_attention(qkv: &Hwnc, biases: &Tensor, outside: &Tensor, spec: WindowSpec) -> Result<Hwnc> {
    let (h, w, n, columns) = qkv.dims();
    let (device, c, heads) = (biases.device(), columns / 3, spec.heads);
    let d = c / heads;
    let grid = Grid::of(qkv, spec);
    let area = spec.window.0 * spec.window.1;
    let ways: Vec<u32> = grid.ways().into_iter().map(|way| way as u32).collect();
    let ways = Tensor::from_vec(ways, area * area, device)?;
    let biases = biases.index_select(&ways, 0)?.reshape((area, area, heads))?.permute((2, 0, 1))?;
    // The pixels of the map, and one more that is outside.
    let outside = wide(outside)?.reshape((1, 1, columns))?.broadcast_as((1, n, columns))?.contiguous()?;
    let pixels = Tensor::cat(&[&wide(qkv.tensor())?.reshape((h * w, n, columns))?, &outside], 0)?;
    let mut places = vec![0u32; h * w];
    let mut mixed = Vec::new();
    for window in grid.windows() {
        for (pixel, _) in &window {
            let count = mixed.len() * area;
            let at = window.iter().position(|other| other.0 == *pixel).unwrap_or(0);
            if let Some(pixel) = pixel {
                places[*pixel] = (count + at) as u32;
            }
        }
        let indices: Vec<u32> = window.iter().map(|(pixel, _)| pixel.unwrap_or(h * w) as u32).collect();
        let rows = pixels.index_select(&Tensor::from_vec(indices, area, device)?, 0)?;
        // [3, N, heads, T, d]
        let parts = rows.reshape((area, n, 3, heads, d))?.permute((2, 1, 3, 0, 4))?;
        let part = |index: usize| parts.narrow(0, index, 1)?.squeeze(0)?.contiguous();
        let apart = |a: usize, b: usize| if window[a].1 == window[b].1 { 0.0f32 } else { -100.0 };
        let mask: Vec<f32> = (0..area * area).map(|pair| apart(pair / area, pair % area)).collect();
        let mask = Tensor::from_vec(mask, (area, area), device)?.to_dtype(biases.dtype())?;
        let scores = (part(0)? / (d as f64).sqrt())?.matmul(&part(1)?.transpose(2, 3)?.contiguous()?)?;
        let scores = scores.broadcast_add(&biases.broadcast_add(&mask)?.unsqueeze(0)?)?;
        let raised = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?.exp()?;
        let probabilities = raised.broadcast_div(&raised.sum_keepdim(D::Minus1)?)?;
        let rows = probabilities.matmul(&part(2)?)?.permute((2, 0, 1, 3))?;
        mixed.push(rows.contiguous()?.reshape((area, n, c))?);
    }
    let mixed = Tensor::cat(&mixed, 0)?;
    let pixels = mixed.index_select(&Tensor::from_vec(places, h * w, device)?, 0)?;
    Hwnc::new(pixels.reshape((h, w, n, c))?.to_dtype(qkv.tensor().dtype())?)
}

/// As [`crate::merge_pixels`].
pub fn merge_pixels(x: &Hwnc) -> Result<Hwnc> {
    let (h, w, n, c) = x.dims();
    let (high, wide) = (h.div_ceil(2), w.div_ceil(2));
    let padded = x.tensor().pad_with_zeros(0, 0, 2 * high - h)?.pad_with_zeros(1, 0, 2 * wide - w)?;
    let squares = padded.reshape(vec![high, 2, wide, 2, n, c])?.permute(vec![0, 2, 4, 3, 1, 5])?;
    Hwnc::new(squares.contiguous()?.reshape((high, wide, n, 4 * c))?)
}
