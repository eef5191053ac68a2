//! How a card says to prepare images and to use the files: with Frostline, PyTorch and onnxruntime.

use frostline_results::Sidecar;

use super::Card;

/// What becomes of an image file.
pub(super) fn preprocessing(card: &Card<'_>) -> String {
    let Sidecar { preparation, resolution, weights, .. } = card.sidecar;
    let numbers = |values: [f32; 3]| values.map(|value| value.to_string()).join(", ");
    format!(
        "- orientation: {}\n- channels: {}\n- resize to {resolution} x {resolution}: {}\n- normalise: subtract ({}), divide by ({})\n",
        preparation.orientation,
        preparation.channels,
        preparation.resize,
        numbers(weights.mean),
        numbers(weights.std),
    )
}

/// Commands and code.
pub(super) fn usage(card: &Card<'_>) -> String {
    let (weights, json) = (card.weights, card.json);
    let mut text = format!("```sh\nfrostline predict {} PHOTOS\n```\n\n", quoted(weights));
    let (import, model) = constructor(card.sidecar);
    text += &format!(
        "With PyTorch:\n\n```python\nimport json\nimport torch, {import}\nfrom safetensors.torch import load_file\nfrom torchvision.transforms.v2 import \
         functional as F\nfrom torchvision.io import decode_image, ImageReadMode\n\nabout = json.load(open({json:?}))[\"model\"]\nstate = \
         load_file({weights:?})\nmodel = {model}\nmodel.load_state_dict(state, strict=True)\nmodel.eval()\n\nside = about[\"resolution\"]\nimage = \
         decode_image(\"photo.jpg\", ImageReadMode.RGB, apply_exif_orientation=True)\nimage = F.resize(image, [side, side], antialias=True) / 255\n\
         image = F.normalize(image, about[\"weights\"][\"mean\"], about[\"weights\"][\"std\"])\nwith torch.inference_mode():\n    probabilities = \
         model(image[None]).softmax(1)[0]\nprint(about[\"classes\"][probabilities.argmax()], probabilities.max())\n```\n"
    );
    if let Some(onnx) = card.onnx {
        text += &format!(
            "\nWith onnxruntime; the graph normalises, so it takes RGB in [0, 1]:\n\n```python\nimport json\nimport numpy as np, onnxruntime\nfrom PIL \
             import Image, ImageOps\n\nsession = onnxruntime.InferenceSession({onnx:?})\nabout = session.get_modelmeta().custom_metadata_map\nclasses = \
             json.loads(about[\"frostline.classes\"])\nheight, width = json.loads(about[\"frostline.resolution\"])\nimage = \
             ImageOps.exif_transpose(Image.open(\"photo.jpg\")).convert(\"RGB\").resize((width, height), Image.Resampling.BILINEAR)\npixels = \
             np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255\n(logits,) = session.run(None, {{\"image\": \
             pixels}})\nprint(classes[logits[0].argmax()])\n```\n"
        );
    }
    text
}

/// The module that has the model, and the call that builds it.
pub(super) fn constructor(sidecar: &Sidecar) -> (&'static str, String) {
    let (name, classes, side) = (sidecar.architecture.as_str(), sidecar.classes.len(), sidecar.resolution);
    const TORCHVISION: [&str; 5] = ["resnet", "alexnet", "vgg", "googlenet", "inception"];
    if TORCHVISION.iter().any(|family| name.starts_with(family)) {
        let function = name.trim_end_matches("-cifar").replace('-', "_");
        let mut model = format!("torchvision.models.{function}(num_classes={classes})");
        if ["googlenet", "inception_v3"].contains(&function.as_str()) {
            let auxiliary = "any(name.lower().startswith(\"aux\") for name in state)";
            model = format!(
                "torchvision.models.{function}(num_classes={classes}, init_weights=False, aux_logits={auxiliary})"
            );
        }
        if name.ends_with("-cifar") {
            model += "\nmodel.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)\nmodel.maxpool = torch.nn.Identity()";
        }
        return ("torchvision", model);
    }
    if name == "vit_tiny_patch4" {
        let sizes = "patch_size=4, embed_dim=192, depth=12, num_heads=3";
        let model = format!("timm.models.VisionTransformer(img_size={side}, {sizes}, num_classes={classes})");
        return ("timm", model);
    }
    let sized = ["vit_", "deit", "swin_"].iter().any(|family| name.starts_with(family));
    let size = if sized { format!(", img_size={side}") } else { String::new() };
    ("timm", format!("timm.create_model({:?}, num_classes={classes}{size})", timms(name)))
}

/// What timm calls a model of its own.
fn timms(name: &str) -> String {
    match name {
        "mobilenetv3_small" | "mobilenetv3_large" => format!("{name}_100"),
        "regnety_008" => "regnety_008_tv".to_owned(),
        name if name.ends_with("_clip") => format!("{name}_quickgelu_224"),
        name if name.ends_with("_dinov2") => name.to_owned(),
        name if ["vit_", "deit", "swin_"].iter().any(|family| name.starts_with(family)) => {
            format!("{name}_224")
        }
        name => name.to_owned(),
    }
}

fn quoted(word: &str) -> String {
    frostline_text::quoted(word)
}
