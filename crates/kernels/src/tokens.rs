//! Images as sequences of tokens, `[T·N, C]`: token-major, then batch, as pixels are in `[H, W, N, C]`.
//!
//! [`embed_tokens`] makes them from a map of patches, [`first_rows`] takes the class token, and [`add_images`] adds a
//! branch whose weight differs from image to image (stochastic depth). The mixing of tokens is in `attention`.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::layout::Hwnc;
use crate::storage::{self, Values};
use crate::{composed, tape, tasks};

/// The rows `[H·W·N, C]` of activations `[H, W, N, C]`.
pub fn rows_of(x: &Hwnc) -> Result<Tensor> {
    let (h, w, n, c) = x.dims();
    tape::reshape(x.tensor(), (h * w * n, c))
}

/// Rows `[H·W·N, C]` as activations; `shape` is `(h, w, n, c)`.
///
/// # Errors
/// When there are more or fewer numbers.
pub fn rows_as(rows: &Tensor, shape: (usize, usize, usize, usize)) -> Result<Hwnc> {
    let (h, w, n, c) = shape;
    if rows.elem_count() != h * w * n * c {
        bail!("tokens: {:?} does not fill activations of [{h}, {w}, {n}, {c}]", rows.dims());
    }
    Hwnc::new(tape::reshape(rows, shape)?)
}

/// A class token before the pixels of a map, and a position added to each: from `[H, W, N, C]`, a class token of `C`
/// values and positions `[1, 1 + H·W, C]` to `[(1 + H·W)·N, C]`.
///
/// # Errors
/// When the shapes do not agree.
pub fn embed_tokens(map: &Hwnc, class: &Tensor, positions: &Tensor) -> Result<Tensor> {
    let (h, w, n, c) = map.dims();
    let tokens = 1 + h * w;
    if class.elem_count() != c || positions.dims() != [1, tokens, c] || map.tensor().elem_count() == 0 {
        bail!(
            "tokens: a map {:?} needs a class token of {c} values and positions [1, {tokens}, {c}], not {:?} and {:?}",
            map.dims(),
            class.dims(),
            positions.dims()
        );
    }
    match storage::runs_here(map.tensor()) {
        true => {
            tape::apply3(map.tensor(), &class.contiguous()?, &positions.contiguous()?, Embed { tokens, n, c })
        }
        false => composed::embed_tokens(map, class, positions),
    }
}

/// The first `count` rows of `[N, C]`: those of the first token, where `count` is the number of images.
///
/// # Errors
/// When there are fewer rows.
pub fn first_rows(x: &Tensor, count: usize) -> Result<Tensor> {
    let (rows, _) = x.dims2()?;
    if count > rows {
        bail!("tokens: {count} rows were asked for of {:?}", x.dims());
    }
    match storage::runs_here(x) {
        true if count == rows => Ok(x.clone()),
        true => tape::apply1(&x.contiguous()?, First { count }),
        false => x.narrow(0, 0, count)?.contiguous(),
    }
}

/// `x + scale · branch` for rows `[T·N, C]`, with one scale for each of the `N` images: of a branch that is left out for
/// some images, as stochastic depth does (Huang et al., 2016, arXiv:1603.09382).
///
/// # Errors
/// When the shapes differ, or the rows are not those of `scales.len()` images.
pub fn add_images(x: &Tensor, branch: &Tensor, scales: &[f32]) -> Result<Tensor> {
    let (rows, _) = x.dims2()?;
    if x.dims() != branch.dims() || scales.is_empty() || rows % scales.len() != 0 {
        bail!(
            "tokens: a branch {:?} with scales of {} images cannot be added to {:?}",
            branch.dims(),
            scales.len(),
            x.dims()
        );
    }
    match storage::runs_here(x) {
        true => tape::apply2(&x.contiguous()?, &branch.contiguous()?, AddImages { scales: scales.to_vec() }),
        false => composed::add_images(x, branch, scales),
    }
}

struct Embed {
    tokens: usize,
    n: usize,
    c: usize,
}

impl CustomOp3 for Embed {
    fn name(&self) -> &'static str {
        "embed-tokens"
    }

    fn cpu_fwd(
        &self,
        map: &CpuStorage,
        map_layout: &Layout,
        class: &CpuStorage,
        class_layout: &Layout,
        positions: &CpuStorage,
        positions_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (like, map) = (map, storage::slice(map, map_layout)?);
        let class = storage::slice(class, class_layout)?;
        let positions = storage::slice(positions, positions_layout)?;
        let (n, c) = (self.n, self.c);
        let mut y = tasks::zeros(self.tokens * n * c);
        y.par_chunks_mut(n * c).zip(positions.par_chunks(c)).enumerate().for_each(
            |(token, (y, position))| {
                for (image, y) in y.chunks_exact_mut(c).enumerate() {
                    let x = match token.checked_sub(1) {
                        None => &class,
                        Some(pixel) => &map[(pixel * n + image) * c..][..c],
                    };
                    tasks::sum(y, x, position);
                }
            },
        );
        Ok((storage::stored(y, like), Shape::from((self.tokens * n, c))))
    }

    fn bwd(
        &self,
        map: &Tensor,
        class: &Tensor,
        positions: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let dy = Values::of(&dy)?;
        let (of_class, of_pixels) = dy.split_at(self.n * self.c);
        let dmap = tape::wanted(map)
            .then(|| storage::tensor_like(of_pixels.to_vec(), map.shape(), map))
            .transpose()?;
        let dclass = match tape::wanted(class) {
            true => Some(storage::tensor(tasks::column_sums(of_class, self.c), class.shape())?),
            false => None,
        };
        let dpositions = match tape::wanted(positions) {
            true => {
                let sums = dy.par_chunks(self.n * self.c).flat_map_iter(|dy| tasks::column_sums(dy, self.c));
                Some(storage::tensor(sums.collect(), positions.shape())?)
            }
            false => None,
        };
        Ok((dmap, dclass, dpositions))
    }
}

struct First {
    count: usize,
}

impl CustomOp1 for First {
    fn name(&self) -> &'static str {
        "first-rows"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, c) = layout.shape().dims2()?;
        let y = storage::slice(x, layout)?[..self.count * c].to_vec();
        Ok((storage::stored(y, x), Shape::from((self.count, c))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let mut dx = tasks::zeros(x.elem_count());
        dx[..dy.elem_count()].copy_from_slice(&Values::of(&dy)?);
        Ok(Some(storage::tensor_like(dx, x.shape(), x)?))
    }
}

struct AddImages {
    scales: Vec<f32>,
}

impl CustomOp2 for AddImages {
    fn name(&self) -> &'static str {
        "add-images"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        branch: &CpuStorage,
        branch_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, c) = x_layout.shape().dims2()?;
        let (like, x, branch) = (x, storage::slice(x, x_layout)?, storage::slice(branch, branch_layout)?);
        let y = self.rows(&branch, Some(&x), c);
        Ok((storage::stored(y, like), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        branch: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let scaled = self.rows(&Values::of(&dy)?, None, x.dim(1)?);
        let scaled = storage::tensor_like(scaled, branch.shape(), branch)?;
        Ok((Some(dy), Some(scaled)))
    }
}

impl AddImages {
    /// `[x +] scale · branch`.
    fn rows(&self, branch: &[f32], x: Option<&[f32]>, c: usize) -> Vec<f32> {
        let size = self.scales.len() * c;
        let mut y = tasks::zeros(branch.len());
        y.par_chunks_mut(size.max(1)).zip(branch.par_chunks(size.max(1))).enumerate().for_each(
            |(token, (y, branch))| {
                let x = x.map(|x| &x[token * size..][..size]);
                for (image, scale) in self.scales.iter().enumerate() {
                    let place = image * c..(image + 1) * c;
                    scaled(&mut y[place.clone()], &branch[place.clone()], *scale, x.map(|x| &x[place]));
                }
            },
        );
        y
    }
}

tasks::vectorised! {
    fn scaled<'a>(y: &'a mut [f32], branch: &'a [f32], scale: f32, x: Option<&'a [f32]>) {
        match x {
            None => {
                for (y, branch) in y.iter_mut().zip(branch) {
                    *y = scale * branch;
                }
            }
            Some(x) => {
                for ((y, branch), x) in y.iter_mut().zip(branch).zip(x) {
                    *y = x + scale * branch;
                }
            }
        }
    }
}
