# What notebooks/a1_part_1.py still lacks: the sections that read VGG-16C's final run. To finish Part I:
#
# - record: `git mv notebooks/drafts/runs/vgg16c-* runs/`, and its folder of tensorboard/ to runs/tensorboard/ (it waits here,
#   since a test wants every record in runs/ to be read by a notebook);
# - configuration: the recipe `"vgg16c": Recipe(epochs=20, batch_size=128, lr=0.02, image_sizes=(32,) * 8 + (48,) * 5, **BOTH)`
#   in "full" (the run with key e69da176ad), in "quick" that of resnet18; `TIMED_STEPS = {"quick": 2, "full": 7}[PROFILE]`;
#   import `mcnemar` from a1.evaluate;
# - 2.5 and 2.6 go before "## 3. ResNet-18"; the definitions that 3.3 to 3.5 make now (`facts_about`, `y_test`, `facts_of_...`,
#   `release`) move up with them, and the text on progressive resizing and mixed precision moves from 3.3 to 2.5;
# - 3.3 below replaces 3.3; "The two networks compared" becomes 3.5 and "Saving the weights" 3.6;
# - 4.3 and 4.4 go before the references; opening and title become those of both networks.
#
# Every TODO names what is to be read off the run.

# %% [markdown]
# ### 2.5 The final network
#
# The network of 2.1, He's initialisation, dropout 0.5, SGD with Nesterov momentum 0.9, one cycle up to {{vgg16c.lr}}, weight decay {{vgg16c.weight_decay}}, label smoothing {{vgg16c.label_smoothing}},
# augmentation, batches of 128, {{vgg16c.epochs}} epochs on all {{n_train:,}} training photos. ResNet-18 in section 3 gets exactly the same, but for its own learning
# rate. Two measures make this affordable on a CPU:
#
# - **Progressive resizing**: the first 8 epochs see images shrunk to 32x32, the next 5 at 48x48, the last 7 at the full
#   64x64. Coarse shape and colour are learned cheaply at first, fine texture comes last. Validation is at 64x64 throughout, so in the
#   early epochs its curve measures a network on a resolution it has not been trained for.
# - **Mixed precision**: convolutions run in bfloat16, whose range equals float32's, so no loss scaling is
#   needed. (It is fast only where the CPU has bfloat16 instructions.)

# %%
vgg = fit_or_load("vgg16c", make_vgg, RECIPES["vgg16c"], data)

# %% tags=["toolbox"]
# @title Numbers for the text
RESULTS |= facts_about("vgg16c", vgg)

# %% [markdown]
# #### (a) Accuracy and loss  <!-- rubric: I.2.5a -->

# %%
metrics_table(vgg).round(4)

# %% [markdown]
# TODO(vgg metrics)

# %% [markdown]
# #### (b) Accuracy over the epochs  <!-- rubric: I.2.5b -->

# %%
fig, ax = plot_history({"vgg16c": vgg}, "acc", "accuracy")
ax.set_ylim(0.4, 1)
plt.show()

# %% [markdown]
# **Figure {{fig:vgg_accuracy}}.** Accuracy per epoch; the dot marks the epoch whose weights were kept. Up to epoch {{vgg16c.small_epochs}} training is at reduced resolution and the
# validation curve, always at 64x64, lags behind the training curve, between {{vgg16c.small_val_min:.1%}} and {{vgg16c.small_val_max:.1%}}. The first epoch at 64 pixels lifts it
# to {{vgg16c.first_full_val_acc:.1%}} at a stroke: the features were there, only their scale did not fit. From there on both curves climb slowly while the learning rate falls.

# %% [markdown]
# #### (c) Loss over the epochs  <!-- rubric: I.2.5c -->

# %%
fig, ax = plot_history({"vgg16c": vgg}, "loss", "cross-entropy")
ax.set_ylim(0, 1.2)
plt.show()

# %% [markdown]
# **Figure {{fig:vgg_loss}}.** Plain cross-entropy per epoch, without the smoothing term on either side. In the first 13 epochs the validation loss stays high although accuracy grows: at a foreign
# resolution the network is wrong *and* sure. At 64x64 it falls below the training curve's level of the same epochs (training photos are augmented and met with dropout on), then both flatten. It
# does not turn upwards: no overfitting that early stopping could have prevented.

# %% [markdown]
# #### (d) Confusion matrix  <!-- rubric: I.2.5d -->

# %%
vgg_probs = torch.from_numpy(vgg.test_probs)
confusion = plot_confusion(y_test, vgg_probs.argmax(1), CLASSES)
RESULTS |= facts_of_confusion("vgg16c", confusion)

# %% [markdown]
# **Figure {{fig:vgg_confusion}}.** TODO(vgg confusion)

# %% [markdown]
# #### (e) Precision, recall and F1  <!-- rubric: I.2.5e -->

# %%
report = class_report(y_test, vgg_probs.argmax(1), CLASSES)
RESULTS |= facts_of_report("vgg16c", report)
report.round(4)

# %% [markdown]
# TODO(vgg report)

# %% [markdown]
# #### (f) TensorBoard  <!-- rubric: I.2.5f -->
#
# Loss and accuracy were logged during training; the charts are drawn from the event files
# and left as SVG in `figures/`. (`tensorboard --logdir runs/tensorboard` shows the same, interactively.)

# %%
show_svg(plot_events(vgg, COLORS["vgg16c"]), "a1_part_1_vgg16c_tensorboard")

# %% [markdown]
# **Figure {{fig:vgg_tensorboard}}.** The TensorBoard scalars of the VGG-16C run, as logged: the values of Figures
# {{fig:vgg_accuracy}} and {{fig:vgg_loss}}, written to event files after every epoch and read back from there.

# %% [markdown]
# #### (g) Misclassified photos  <!-- rubric: I.2.5g -->
#
# Grouped by kind of mistake, surest first: where a network is sure and wrong, its idea of a class and ours differ.

# %%
plot_mistakes(photos.images[split["test"]], y_test, vgg_probs, CLASSES)
RESULTS |= facts_of_mistakes("vgg16c", vgg_probs)

# %% [markdown]
# **Figure {{fig:vgg_mistakes}}.** TODO(vgg mistakes)

# %% [markdown]
# ### 2.6 Saving the weights  <!-- rubric: I.2.6 -->
#
# The best epoch's weights are saved as a float16 state dict, half the size, and read back into a fresh network, which
# must reproduce the test accuracy. VGG's file is too large for a git repository; `weights/MANIFEST.json` has its hash and the command
# that makes it.

# %%
RESULTS["vgg16c.reloaded_acc"] = release(vgg, make_vgg, "a1_part1_vgg16c.pt")

# %% [markdown]
# ### 3.3 Training  <!-- rubric: I.3.3 -->
#
# Same photos, split, preprocessing, augmentation, batch size, schedule, progressive resizing and number of epochs as VGG-16C (2.5). One number
# differs: the learning rate peaks at {{resnet18.lr}}, five times VGG's {{vgg16c.lr}}. The probe in 2.3 showed VGG at chance at this rate;
# ResNet trains at it, presumably thanks to batch norm (not tested here).

# %% [markdown]
# ### 3.5 The two networks compared  <!-- rubric: I.3.5b -->

# %%
final = {"vgg16c": vgg, "resnet18": resnet}
fig, ax = plot_history(final, "acc", "accuracy")
ax.set_ylim(0.4, 1)
plt.show()

# %% [markdown]
# **Figure {{fig:both_accuracy}}.** TODO(both acc)

# %%
fig, ax = plot_history(final, "loss", "cross-entropy")
ax.set_ylim(0, 1.2)
plt.show()

# %% [markdown]
# **Figure {{fig:both_loss}}.** TODO(both loss)

# %% [markdown]
# The records' seconds were taken on a machine that had other work too. For a fair comparison of speed both networks are timed here, one
# training step of each in turn on the same batch at 64x64; the median counts.

# %%
def seconds_per_epoch(makers, data, steps):
    """Median time of a training step at full resolution, times the steps of an epoch: {name: seconds}.

    The networks take turns, so that whatever else the machine does hits them alike.
    """
    recipe = replace(RECIPES["vgg16c"], optimizer="sgd", image_sizes=())
    loader = data.loader("train", recipe, train=True)
    batch = [next(iter(loader))]
    models = {name: make().to(DEVICE, memory_format=torch.channels_last) for name, make in makers.items()}
    trained = {name: (model, OPTIMIZERS["sgd"](model.parameters(), 0.01, 0)) for name, model in models.items()}
    scaler = torch.amp.GradScaler(DEVICE.type, enabled=False)
    times = {name: [] for name in makers}
    for _ in range(steps + 1):  # the first one warms up
        for name, (model, optimizer) in trained.items():
            start = time.perf_counter()
            train_epoch(model, batch, optimizer, recipe, scaler)  # ends by reading the loss: the device has finished
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(values[1:])) * len(loader) for name, values in times.items()}

makers = {"vgg16c": make_vgg, "resnet18": make_resnet}
epoch_seconds = seconds_per_epoch(makers, data, TIMED_STEPS)

# %%
rows = {}
for name, run in final.items():
    info = summary(makers[name](), (1, 3, IMAGE_SIZE, IMAGE_SIZE), verbose=0)
    low, high = wilson_interval(run.metrics["test_acc"], len(y_test))
    RESULTS |= {f"{name}.mult_adds": info.total_mult_adds, f"{name}.epoch_seconds": epoch_seconds[name]}
    rows[name] = {
        "test accuracy": f"{run.metrics['test_acc']:.4f}",
        "95% interval": f"{low:.4f} to {high:.4f}",
        "macro-F1": f"{run.metrics['test_macro_f1']:.4f}",
        "test loss": f"{run.metrics['test_loss']:.4f}",
        "parameters": f"{info.total_params:,}",
        "multiply-adds per photo": f"{info.total_mult_adds / 1e6:,.0f} M",
        "seconds per epoch at 64x64": f"{epoch_seconds[name]:.0f}",
    }
pd.DataFrame(rows)

# %%
right = {name: torch.from_numpy(run.test_probs).argmax(1) == y_test for name, run in final.items()}
only_vgg, only_resnet, p = mcnemar(right["vgg16c"], right["resnet18"])
both_wrong = int((~right["vgg16c"] & ~right["resnet18"]).sum())
RESULTS |= {
    "only_vgg": only_vgg,
    "only_resnet": only_resnet,
    "both_wrong": both_wrong,
    "mcnemar_p": p,
    "lead_points": 100 * (resnet.metrics["test_acc"] - vgg.metrics["test_acc"]),
    "speed_ratio": epoch_seconds["vgg16c"] / epoch_seconds["resnet18"],
    "size_ratio": RESULTS["vgg16c.parameters"] / RESULTS["resnet18.parameters"],
    "mult_adds_ratio": RESULTS["resnet18.mult_adds"] / RESULTS["vgg16c.mult_adds"],
}
pd.DataFrame(
    [[int((right["vgg16c"] & right["resnet18"]).sum()), only_vgg], [only_resnet, both_wrong]],
    index=pd.Index(["right", "wrong"], name="VGG-16C"), columns=pd.Index(["right", "wrong"], name="ResNet-18"),
)  # fmt: skip

# %%
print(f"McNemar's exact test: p = {p:.2g}")

# %% [markdown]
# TODO(comparison)

# %% [markdown]
# ### 4.3 Which network is better, and why  <!-- rubric: I.4.3, I.bar -->
#
# TODO(4.3)

# %% [markdown]
# ### 4.4 Summary and recommendation  <!-- rubric: I.4.4 -->
#
# TODO(4.4)

