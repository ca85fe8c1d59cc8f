"""Every field of a training run, with its unit and reason.

A config starts from this one and changes fields. It is locked: a field that
does not exist here cannot be set. A `placeholder` is None until set; the norm,
model, optimizer or schedule then uses its own default. Setting a field that the
chosen one lacks is an error.

A name of the model, activation, kernel_init, norm, optimizer, schedule or data
set can be the import path of own code, 'my_project.vgg:VGG'. Its `options` are
arguments that have no field here: config.model.options = {'depth': 3}.
"""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
  """A CNN with BatchNorm on the embedded digits; seconds on a laptop."""
  config = ml_collections.ConfigDict()

  # First part of the run's name; the rest is a hash of all other fields.
  config.label = 'base'
  # Folder that own code is imported from; None is that of the config file.
  # Modules of the environment come first.
  config.code_dir = config_dict.placeholder(str)
  # Seeds the parameters, the order of the examples, augmentation and dropout.
  config.seed = 0
  # Examples per training step.
  config.batch_size = 32
  # Length of the run, in training steps.
  config.total_steps = 1_000
  # Steps between evaluations on the whole validation split; the last step is
  # always evaluated.
  config.eval_every = 100
  # Examples per batch of an evaluation: changes its speed, and the loss in the
  # seventh digit.
  config.eval_batch_size = 500
  # Statistics that the norms use in evaluations: 'running' averages of
  # training, those of each evaluation 'batch' (of batch_size examples), or
  # 'recalibrated' on training examples. The first fills the columns loss,
  # accuracy, ece and class_accuracy; the others add columns loss_batch, ...
  config.eval_statistics = ('running',)
  # Training examples for recalibration; they are not augmented.
  config.recalibration_examples = 1_000
  # Momentum of a moving average of the parameters, per step; evaluations then
  # add columns loss_ema, ... None keeps no average.
  config.ema_decay = config_dict.placeholder(float)
  # Share of the target that the training loss spreads over all classes
  # (arXiv:1512.00567, section 7); None spreads nothing. Evaluations ignore it.
  config.label_smoothing = config_dict.placeholder(float)
  # Own metrics as ('my_project.metrics:top5',): functions of logits and labels
  # with a value per example, whose means are columns of all rows.
  config.metrics = config_dict.placeholder(tuple)
  # Steps between training rows in the record; each row is a mean over the steps
  # since the last one.
  config.log_every = 50
  # Steps per call of the compiled program. None is 25, but 1 on a CPU, where
  # XLA runs convolutions inside loops many times slower.
  config.steps_per_call = config_dict.placeholder(int)
  # Steps between checkpoints; None is 500. The last step and the best
  # evaluation always have one.
  config.checkpoint_every = config_dict.placeholder(int)
  # Number of newest checkpoints kept, besides the best by validation accuracy.
  config.keep_checkpoints = 2

  # Devices that share each batch, over all processes; None takes as many as
  # divide it.
  config.num_devices = config_dict.placeholder(int)
  # Parts of a batch whose gradients are computed in turn, to save memory; each
  # has its own statistics (arXiv:1702.03275, section 4.2). Norms that count
  # updates (batch_renorm's schedule) count each part.
  config.microbatches = 1

  # Adds the norm of each parameter and its gradient to the training rows.
  config.log_layer_norms = False
  # Finds the first tensor that is not finite in a run that diverges.
  config.debug_nans = False
  # Writes a trace of ten steps to the work directory, for TensorBoard's
  # profiler and Perfetto.
  config.profile = False

  config.data = ml_collections.ConfigDict()
  # digits, digits_affine, mnist, binary_mnist, fashion_mnist, cifar10,
  # cifar100; from disk: imagenette, imagenet2012; regressions with a squared
  # error: linear_map, valley/raw, valley/centred, valley/standardized,
  # valley/whitened
  config.data.name = 'digits'
  # Folder where TFDS prepared it; None is TFDS_DATA_DIR, else
  # ~/tensorflow_datasets.
  config.data.data_dir = config_dict.placeholder(str)
  # Largest random shift of training images, in pixels; 0 is off.
  config.data.random_crop = 0
  # Mirrors training images left to right at random.
  config.data.random_flip = False
  # Own augmentation of training images behind these, as 'my_project:cutout': a
  # function of a key and images.
  config.data.augmentation = config_dict.placeholder(str)
  # Height and width of streamed images, in pixels (224).
  config.data.image_size = config_dict.placeholder(int)
  # Smallest area of a random crop, as a share of a streamed training image
  # (0.08, from arXiv:1409.4842).
  config.data.min_crop_area = config_dict.placeholder(float)
  # Processes that decode streamed images; 0 decodes in threads of this one.
  # None is one per CPU core.
  config.data.workers = config_dict.placeholder(int)

  config.model = ml_collections.ConfigDict()
  # mlp, cnn, inception; resnet18, resnet50, bn_inception
  config.model.name = 'cnn'
  # Precision of the activations, float32 or bfloat16; parameters, statistics,
  # logits and loss are always float32.
  config.model.dtype = 'float32'
  # relu, sigmoid, tanh, gelu, silu, identity
  config.model.activation = 'relu'
  # Draws the kernels of all layers but the logits: he_normal (the default),
  # glorot_normal, glorot_uniform, small_normal (standard deviation 0.1).
  config.model.kernel_init = config_dict.placeholder(str)
  # Share of the features dropped in training.
  config.model.dropout = 0.0
  # Units (mlp) or channels (cnn) per layer; () is no layer but the logits.
  config.model.widths = config_dict.placeholder(tuple)
  # Factor on the channels (inception, resnets, bn_inception).
  config.model.width = config_dict.placeholder(float)
  # Stem of 3x3 without pooling, for images of about 32x32 (resnets).
  config.model.small_images = config_dict.placeholder(bool)
  config.model.options = ml_collections.ConfigDict()

  config.norm = ml_collections.ConfigDict()
  # none, scale_bias, noise; batch, batch_renorm, lp_batch, noisy_batch,
  # mean_only_batch; layer, group, instance, rms, switchable, dynamic_tanh;
  # filter_response, evonorm_b0, evonorm_s0 (norm and activation in one);
  # on kernels: weight, spectral, weight_standardization
  config.norm.name = 'batch'
  # Added to the variance, inside the root.
  config.norm.epsilon = config_dict.placeholder(float)
  # Learned scale and bias.
  config.norm.use_scale = config_dict.placeholder(bool)
  config.norm.use_bias = config_dict.placeholder(bool)
  # Share of the old value that running statistics keep (norms with a batch).
  config.norm.momentum = config_dict.placeholder(float)
  # Removes the start values from the running statistics (norms with a batch).
  config.norm.debias = config_dict.placeholder(bool)
  # Examples that share statistics (batch); None is the whole batch.
  config.norm.ghost_batch_size = config_dict.placeholder(int)
  # Factor m / (m - 1) in the running variance (batch).
  config.norm.unbiased = config_dict.placeholder(bool)
  # Number of groups, or channels per group; set one (group, evonorm_s0).
  config.norm.num_groups = config_dict.placeholder(int)
  config.norm.group_size = config_dict.placeholder(int)
  # Axes that share statistics (layer, rms, group).
  config.norm.reduction_axes = config_dict.placeholder(tuple)
  # Limits of the corrections (batch_renorm); None is the paper's schedule.
  config.norm.r_max = config_dict.placeholder(float)
  config.norm.d_max = config_dict.placeholder(float)
  # Factor on the steps of that schedule, which is made for 10^5 steps.
  config.norm.schedule_scale = config_dict.placeholder(float)
  # Order of the l_p norm, inf for the maximum; 'gaussian' or 'literal'
  # (lp_batch).
  config.norm.p = config_dict.placeholder(float)
  config.norm.convention = config_dict.placeholder(str)
  # Noise per channel, and per value (noise, noisy_batch).
  config.norm.mean_range = config_dict.placeholder(float)
  config.norm.max_std = config_dict.placeholder(float)
  config.norm.mean_jitter = config_dict.placeholder(float)
  config.norm.std_jitter = config_dict.placeholder(float)
  # Takes the batch as a third source of statistics (switchable).
  config.norm.use_batch_norm = config_dict.placeholder(bool)
  # Learned threshold instead of the activation; learned epsilon
  # (filter_response).
  config.norm.use_tlu = config_dict.placeholder(bool)
  config.norm.learn_epsilon = config_dict.placeholder(bool)
  # Initial factor inside the tanh (dynamic_tanh).
  config.norm.alpha_init = config_dict.placeholder(float)
  # Adds mean-only BatchNorm after each layer (weight).
  config.norm.mean_only_batch_norm = config_dict.placeholder(bool)
  # Steps of power iteration per update (spectral).
  config.norm.n_steps = config_dict.placeholder(int)
  # Scales kernels as normalizer-free networks do (weight_standardization).
  config.norm.scaled = config_dict.placeholder(bool)
  config.norm.options = ml_collections.ConfigDict()

  config.optimizer = ml_collections.ConfigDict()
  # sgd, momentum, nesterov, rmsprop, adam, adamw
  config.optimizer.name = 'momentum'
  # Learning rate of the first step after the warm-up, before the multiplier.
  config.optimizer.learning_rate = 0.03
  # Factor on the learning rate; sweeps and the papers vary it.
  config.optimizer.learning_rate_multiplier = 1.0
  # L2 penalty on kernels (decoupled for adamw); scales and biases have none.
  config.optimizer.weight_decay = 0.0
  # Largest joint norm of the gradients; None does not clip.
  config.optimizer.clip_norm = config_dict.placeholder(float)
  # momentum and nesterov (0.9), rmsprop (0).
  config.optimizer.momentum = config_dict.placeholder(float)
  # rmsprop (0.9).
  config.optimizer.decay = config_dict.placeholder(float)
  # adam and adamw (0.9, 0.999).
  config.optimizer.beta1 = config_dict.placeholder(float)
  config.optimizer.beta2 = config_dict.placeholder(float)
  # rmsprop, adam and adamw (1e-8).
  config.optimizer.epsilon = config_dict.placeholder(float)
  config.optimizer.options = ml_collections.ConfigDict()

  config.schedule = ml_collections.ConfigDict()
  # constant, exponential, step, cosine
  config.schedule.name = 'constant'
  # Steps of linear warm-up before the schedule.
  config.schedule.warmup_steps = 0
  # Factor per `decay_steps` (exponential) or at each boundary (step).
  config.schedule.decay_rate = config_dict.placeholder(float)
  # Steps (exponential, cosine); None takes all steps after the warm-up.
  config.schedule.decay_steps = config_dict.placeholder(int)
  # Steps after the warm-up at which the rate drops (step).
  config.schedule.boundaries = config_dict.placeholder(tuple)
  # Share of the learning rate left at the end (cosine).
  config.schedule.final_fraction = config_dict.placeholder(float)
  config.schedule.options = ml_collections.ConfigDict()

  config.probes = ml_collections.ConfigDict()
  # What is measured inside the network while it trains, as ('outputs',): see
  # docs/probes.md. None measures nothing. Training has the same numbers.
  config.probes.names = config_dict.placeholder(tuple)
  # Steps between measurements, the first before the first step; None is 100.
  config.probes.every = config_dict.placeholder(int)
  # Paths of the layers that are measured one by one, as ('layer2',)
  # (covariate_shift); None is all.
  config.probes.layers = config_dict.placeholder(tuple)
  # Lengths of the steps along the gradient, as multiples of the learning rate
  # (landscape); None is 0.5, 1, 2 and 4.
  config.probes.step_lengths = config_dict.placeholder(tuple)

  config.lock()
  for section in (config.model, config.norm, config.optimizer, config.schedule):
    section.options.unlock()
  return config
