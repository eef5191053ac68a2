use candle_core::{Device, Tensor, Var};
use frostline_kernels as k;
#[test]
fn smoke() {
    let d = Device::Cpu;
    for (h, w, n, c, o, kh, kw, s, p) in [
        (5, 4, 3, 16, 6, 3, 3, (1, 1), (1, 1)),
        (7, 5, 2, 3, 4, 3, 2, (2, 1), (1, 1)),
        (6, 9, 2, 20, 33, 3, 3, (2, 2), (1, 1)),
        (1, 1, 4, 17, 8, 3, 3, (1, 1), (1, 1)),
        (9, 9, 2, 3, 5, 7, 7, (2, 2), (3, 3)),
        (8, 7, 1, 16, 4, 1, 1, (2, 2), (0, 0)),
    ] {
        let x = Var::rand(-1f32, 1., (h, w, n, c), &d).unwrap();
        let wt = Var::rand(-1f32, 1., (kh, kw, c, o), &d).unwrap();
        let b = Var::rand(-1f32, 1., o, &d).unwrap();
        let hx = k::Hwnc::new(x.as_tensor().clone()).unwrap();
        let spec = k::ConvSpec { stride: s, padding: p };
        let y = k::conv2d(&hx, &wt, Some(&b), spec).unwrap();
        let z = k::composed::conv2d(&hx, &wt, Some(&b), spec).unwrap();
        let r = Tensor::rand(-1f32, 1., z.tensor().shape(), &d).unwrap();
        let diff = |a: &Tensor, b: &Tensor| {
            (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
        };
        assert!(diff(y.tensor(), z.tensor()) < 1e-4);
        let gy = (y.tensor() * &r).unwrap().sum_all().unwrap().backward().unwrap();
        let gz = (z.tensor() * &r).unwrap().sum_all().unwrap().backward().unwrap();
        for v in [&x, &wt, &b] {
            let e = diff(gy.get(v).unwrap(), gz.get(v).unwrap());
            assert!(e < 1e-4, "{e} {:?}", (h, w, n, c, o, kh, kw, s, p));
        }
        let g = Var::rand(0.5f32, 1., c, &d).unwrap();
        let bb = Var::rand(-1f32, 1., c, &d).unwrap();
        let res = Var::rand(-1f32, 1., (h, w, n, c), &d).unwrap();
        let hr = k::Hwnc::new(res.as_tensor().clone()).unwrap();
        for (res_, relu) in [(None, true), (Some(&hr), true), (None, false), (Some(&hr), false)] {
            let sp = k::NormSpec { eps: 1e-5, relu };
            let (y, s1) = k::batch_norm(&hx, &g, &bb, res_, sp).unwrap();
            let (z, s2) = k::composed::batch_norm(&hx, &g, &bb, res_, sp).unwrap();
            assert!(diff(&s1.variance, &s2.variance) < 1e-5 && diff(&s1.mean, &s2.mean) < 1e-5);
            assert!(diff(y.tensor(), z.tensor()) < 1e-4);
            let r = Tensor::rand(-1f32, 1., z.tensor().shape(), &d).unwrap();
            let gy = (y.tensor() * &r).unwrap().sum_all().unwrap().backward().unwrap();
            let gz = (z.tensor() * &r).unwrap().sum_all().unwrap().backward().unwrap();
            for v in [&x, &g, &bb] {
                let e = diff(gy.get(v).unwrap(), gz.get(v).unwrap());
                assert!(e < 1e-4, "bn {e} {:?}", (h, w, n, c));
            }
            if res_.is_some() {
                let e = diff(gy.get(&res).unwrap(), gz.get(&res).unwrap());
                assert!(e < 1e-5)
            }
        }
        let ps = k::PoolSpec {
            kernel: (3.min(h + 1), 2),
            stride: (2, 1),
            padding: (1, 1),
            ceil: true,
            count_include_pad: false,
        };
        for f in [
            (k::max_pool2d as fn(&k::Hwnc, k::PoolSpec) -> candle_core::Result<k::Hwnc>, k::composed::max_pool2d as fn(&k::Hwnc, k::PoolSpec) -> candle_core::Result<k::Hwnc>),
            (k::avg_pool2d as fn(&k::Hwnc, k::PoolSpec) -> candle_core::Result<k::Hwnc>, k::composed::avg_pool2d as fn(&k::Hwnc, k::PoolSpec) -> candle_core::Result<k::Hwnc>),
        ] {
            let y: k::Hwnc = (f.0)(&hx, ps).unwrap();
            let z: k::Hwnc = (f.1)(&hx, ps).unwrap();
            assert!(diff(y.tensor(), z.tensor()) < 1e-5);
            let r = Tensor::rand(-1f32, 1., z.tensor().shape(), &d).unwrap();
            let gy = (y.tensor() * &r).unwrap().sum_all().unwrap().backward().unwrap();
            let gz = (z.tensor() * &r).unwrap().sum_all().unwrap().backward().unwrap();
            let e = diff(gy.get(&x).unwrap(), gz.get(&x).unwrap());
            assert!(e < 1e-5, "pool {e}");
        }
    }
}
