"""The networks of the depth experiment: VGG-Deep, and ResNet-18 from a stated initialisation."""

from torch import nn

from a1.models.resnet import ResNet18
from a1.models.vgg import INITS, VGG16C, VGG16C_LAYERS

# Four more convolutions in the last block, before its pooling: a 64-pixel image has 4x4 positions there. Behind
# the pooling it has 2x2, and more than half of each 3x3 kernel would read nothing but padding.
VGG_DEEP_LAYERS = [*VGG16C_LAYERS[:-1], (640, 3), (768, 3), (896, 3), (1024, 3), "M"]


class VGGDeep(VGG16C):
    """VGG-16 version C with four more 3x3 convolutions, 17 in all, and without dropout.

    The new layers have 640, 768, 896 and 1024 filters: twice the 512 before them, reached in equal steps. All the
    rest is VGG16C's: strides, padding, ReLU, five max-pools, classifier (whose first layer takes 1024 feature
    maps instead of 512). Takes [N, 3, S, S] and returns logits [N, num_classes]; see VGG16C for the arguments.
    """

    def __init__(self, num_classes=3, image_size=64, init="he", width=1.0):
        super().__init__(num_classes, image_size, dropout=0.0, init=init, width=width, layers=VGG_DEEP_LAYERS)
        for index, layer in enumerate(self.classifier):
            if isinstance(layer, nn.Dropout):
                self.classifier[index] = nn.Identity()  # keeps the numbers of the layers behind it


class Nothing(nn.Module):
    """A shortcut that is none: adds zero."""

    def forward(self, x):
        return 0.0


class ResNet18From(ResNet18):
    """ResNet18 whose convolutions and classifier start from INITS[init]; all else is as there.

    Without `shortcuts` it is a plain network of the same layers; without `batch_norm` nothing is normalised.
    """

    def __init__(self, num_classes=3, stem="3x3", init="he", shortcuts=True, batch_norm=True):
        super().__init__(num_classes, stem)
        for block in self.blocks:
            block.shortcut = block.shortcut if shortcuts else Nothing()
        for parent in [] if batch_norm else list(self.modules()):
            for name, child in parent.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(parent, name, nn.Identity())
        self.init = init
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()  # ResNet18 has drawn He's; INITS["default"] leaves what it finds
                INITS[init](module.weight)
                if init != "default" and module.bias is not None:
                    nn.init.zeros_(module.bias)

    def extra_repr(self) -> str:
        return f"init={self.init}"
