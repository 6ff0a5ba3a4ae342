"""Building blocks that models share, and the parts by which methods read a model.

| part | what it is |
| --- | --- |
| `generator` | z `(N, latent)` -> images `(N, C, H, W)` in [-1, 1]; its `latent` is the number of dimensions of z |
| `discriminator` | images -> `(N,)`, higher = more like the training images; its `features` -> `(N, ...)` |
| `encoder` | images -> z `(N, latent)`, the generator's latent space |
| `decoder` | z `(N, latent)` -> images in [-1, 1], for codes of its own encoder; no prior is known |
| `second_encoder` | images -> z `(N, latent)`, GANomaly's encoder of reconstructions |
| `joint_discriminator` | images and z -> `(N,)`, higher = more like an image with its code; it has `features` too |
| `conditional_generator` | z `(N, latent)` and class numbers `(N,)` -> images; its `classes` is how many there are |
| `autoencoder` | images -> images `(N, C, H, W)` in [-1, 1] |
| `posterior` | images -> mean and log variance of q(z given x), `(N, latent)` each |
| `log_likelihood` | images and z -> log p(x given z), `(N,)` |
| `embedding` | images -> `(N, dimensions)`; with it a `centre`, `(dimensions,)` |

Every part is in eval mode when a method reads it, and comes back unchanged.
"""
