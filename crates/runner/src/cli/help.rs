//! What `--help` says beside the flags: examples, exit codes, and the keys of an experiment file.

use frostline_experiment::Trial;
use frostline_experiment::keys::{Section, keys};

pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 the work failed, 2 the command line or the experiment file will not do,
3 the work is done but for trials that failed or images that are broken, 4 `diff` found a change,
71 no memory or threads, 130 and 143 interrupted.

Environment: HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE and HF_HUB_OFFLINE act as in other Hugging Face tools;
NO_COLOR turns colours off.";

pub(super) const TRY_EXAMPLES: &str = "\
Examples:
  frostline try photos
  frostline try photos --minutes 30 --models resnet18,vit_small_patch16
  frostline try --hub uoft-cs/cifar10 --minutes 20 --resolution 64
  frostline try photos --models resnet18 --weights resnet18=file:mine.safetensors --offline

Candidates are ranked by probes on their frozen features; the best train deeper and deeper, fewer at each depth, and what time
is left goes to more seeds. The folder it leaves in results/ has the report, winner.safetensors, try.md and experiment.toml.";

pub(super) const INIT_EXAMPLES: &str = "\
Examples:
  frostline init photos
  frostline init photos --models resnet18,resnet50 --output birds.toml";

pub(super) const SWEEP_EXAMPLES: &str = "\
Examples:
  frostline sweep
  frostline sweep experiments/article.toml --only model=resnet18 --only seed=0
  frostline sweep experiments/article.toml --set data.per-class=500 --set train.epochs=3
  frostline sweep experiments/article.toml --set 'grid.seed=[0, 1]' --set 'weights[model=alexnet]=none'
  frostline sweep experiments/article.toml --device cuda:all
  frostline sweep experiments/article.toml --slurm --partition short --time 2:00:00 --dry-run

Finished trials are kept, and where those under way stand: the same command goes on where an earlier one stopped, or was
killed, and shares the work with one that runs. Trials with frozen stages in common advance together.";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  frostline run experiments/article.toml --prepare
  parallel frostline run experiments/article.toml --cohort {}/4 ::: 1 2 3 4
  frostline run experiments/article.toml --cohort 3/8 --results /shared/article --threads 4
  frostline report results/article

The shares depend on the plan alone. What several need is made by one of them, and the others wait. A share is done
(0, or 3 where trials failed) once all its trials are stored; stopped or killed (143, 137), the same command goes on.
docs/clusters.md has launchers.";

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  frostline status results/article
  watch -n 10 frostline status results/article
  frostline status results/article --json | jq .counts.failed

It takes nothing from those that write. What is left is reckoned from the measured time of finished trials:
docs/clusters.md says how.";

pub(super) const CANCEL_EXAMPLES: &str = "\
Examples:
  frostline cancel results/article

What is stored stays, and where trainings stand: `frostline sweep`, with --slurm or without, goes on from there.";

pub(super) const PRETRAIN_EXAMPLES: &str = "\
Examples:
  frostline pretrain experiments/pretraining.toml rotation --only seed=0 --output rotation.safetensors
  frostline pretrain experiments/quickstart.toml other-digits

The weights of each model and seed are kept in the results folder, where `frostline sweep` finds them.";

pub(super) const RATE_EXAMPLES: &str = "\
Examples:
  frostline rate experiments/quickstart.toml
  frostline rate experiments/article.toml --only model=resnet18 --from 1e-5 --to 0.1 --steps 200

One seed stands for each arm, and of a strategy the phase that trains most. Nothing of it is a result: the curves go to rates/ in the
results folder, and [tune] finds out which rate validates best.";

pub(super) const EXPORT_EXAMPLES: &str = "\
Examples:
  frostline export 81c7f9 --output digits.safetensors
  frostline export 81c7f9035a0f --results results/plants --output plants.safetensors --onnx

Weights are kept by trials of an experiment with checkpoints = \"best\" (or --set checkpoints=best). torchvision and timm take
the file with load_state_dict(load_file(...), strict=True). With --onnx, the graph takes `image` [N, 3, H, W], RGB in [0, 1] at the
trial's resolution, and gives `logits` [N, classes]; its metadata has classes and preprocessing.";

pub(super) const PREDICT_EXAMPLES: &str = "\
Examples:
  frostline predict 81c7f9 photos
  frostline predict plants.safetensors 'photos/2024-*.jpg' leaf.png --top 3
  frostline predict plants.safetensors photos --format jsonl > predictions.jsonl
  find photos -newer yesterday -name '*.jpg' | frostline predict plants.safetensors - --format csv
  frostline predict plants.safetensors photos --explain why

Images are resized as in training. One that cannot be used is a row that says why, and the exit code is then 3.";

pub(super) const FEATURES_EXAMPLES: &str = "\
Examples:
  frostline features 81c7f9 --split train,test --output features.parquet
  frostline features plants.safetensors photos --output photos.parquet

The column `features` is a list of f32, the input of the head's last layer. Images of the trial come with split, index, label and
class, files with path and, where one cannot be used, an error; the exit code is then 3.";

pub(super) const PLAN_EXAMPLES: &str = "\
Examples:
  frostline plan experiments/article.toml
  frostline plan experiments/strategies.toml --explain --pictures pictures
  frostline plan experiments/article.toml --set 'learning-rate=[1e-3, 1e-4]' --only model=resnet18";

pub(super) const REPORT_EXAMPLES: &str = "\
Examples:
  frostline report results/quickstart
  frostline report results/quickstart --tensorboard && tensorboard --logdir results/quickstart/tensorboard
  frostline report results/quickstart --mlflow=mlruns && MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri mlruns

report.md is for reading, report.html for a browser, report.json and csv/ for programs; docs/report.schema.json says what is in them.";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  frostline completions bash > ~/.local/share/bash-completion/completions/frostline
  frostline completions zsh > \"${fpath[1]}/_frostline\"
  frostline completions fish > ~/.config/fish/completions/frostline.fish";

pub(super) const SCHEMA_EXAMPLES: &str = "\
Examples:
  frostline schema > experiment.schema.json
  #:schema ./experiment.schema.json        (as the first line of an experiment file, for Taplo and VS Code's Even Better TOML)";

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  frostline doctor              for yourself, or to go with a report of a fault; it names no person, home folder or token
  frostline doctor --offline

The exit code is 3 where something would keep a sweep from running.";

pub(super) const DIFF_EXAMPLES: &str = "\
Examples:
  frostline diff results/before results/after

Arms are matched by what they are called, trials by their seeds. The exit code is 4 where an accuracy changed beyond noise (p below
0.05 by Holm over the arms), or the time of all trials did (its 95 % interval leaves out 1, by more than 5 %, on the same machine).";

pub(super) const MERGE_EXAMPLES: &str = "\
Examples:
  frostline merge results/article part-1 part-2

The parts are of one experiment file, each with some of its trials, as --only leaves them, and stay as they are.";

pub(super) const DATA_EXAMPLES: &str = "\
Examples:
  frostline data digits --sheet digits.png
  frostline data hub:uoft-cs/cifar10
  frostline data folder:photos --resolution 64";

pub(super) fn short_help(examples: &str) -> String {
    format!("{examples}\n\n--help lists the keys of an experiment file.")
}

pub(super) fn long_help(examples: &str) -> String {
    format!("{examples}\n\n{}", keys_help())
}

/// The keys of an experiment file with their defaults, and how `--set` names them.
pub(super) fn keys_help() -> String {
    let mut help = String::from(
        "Keys of an experiment file. Any of them may be an axis of [grid], with a list of values; the first four are\n\
         written there only. [[override]] (when = { AXIS = VALUE }, then keys) changes them for some trials, the last\n\
         that applies wins; [[except]] (when = { AXIS = [VALUE, VALUE] }) leaves some out. [[claim]] (when,\n\
         test-accuracy, minutes, source) is held against the results. [strategy.NAME]\n\
         (phases: a list of tables) spells out a strategy; `frostline plan --explain` shows what each one does.\n\
         [pretrain.NAME] (method: supervised, autoencoder or rotation; denoise; seed; keys of [data] and [train]) makes\n\
         what `pretrain:NAME` names. checkpoints = \"best\" (or \"last\"; before the first table) keeps each trial's weights.\n\
         There too: baseline, a strategy (\"full\") or a table of keys and values, which arms are held against, and margin (1),\n\
         the points of accuracy within which arms are as good as equal. [halving] (first, in epochs; factor; asynchronous)\n\
         stops arms that cannot win: after `first` epochs, one in `factor` goes on, by validation, and so again after `factor`\n\
         times as many; asynchronously, without waiting for all others.\n\
         [tune] (keys of [train], with values) has each arm try all values on the first seed and train its other seeds with\n\
         what validates best; the candidates count in its cost.\n",
    );
    let defaults = Trial::default();
    for section in [Section::Grid, Section::Data, Section::Train, Section::Run] {
        help += &format!("\n  [{section}]\n");
        for key in keys().iter().filter(|key| key.section == section) {
            let default = match key.show(&defaults) {
                default if default.is_empty() => "required".to_owned(),
                default => default,
            };
            let choices = match key.choices() {
                [first, ..] if !key.meaning.contains(first) => format!(": {}", key.choices().join(", ")),
                _ => String::new(),
            };
            help += &format!("  {:<17} {:<8} {}{choices}\n", key.name, default, key.meaning);
        }
    }
    help += "\n--set replaces what the file says of a key, also where the file has it as an axis. The section may be left\n\
             out; a list makes an axis. KEY[AXIS=VALUE,…]=VALUE adds an override after those of the file. A value is\n\
             TOML, or plain text where it is not.\n";
    help
}
