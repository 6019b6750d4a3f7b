# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Networks as strangers write them, the file that `--arch` names. Nothing here depends on robustkit."""

import torch
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    """A convolution, a mean over the image by a function, one affine layer."""

    def __init__(self, bands=3, outputs=3):
        super().__init__()
        self.features, self.classifier = nn.Conv2d(bands, 6, 3, padding=1), nn.Linear(6, outputs)

    def logits(self, x):
        return self.classifier(torch.relu(self.features(x)).mean((2, 3)))

    def forward(self, x):
        return self.logits(x)


class Softmax(Net):
    def forward(self, x):
        return torch.softmax(self.logits(x), 1)


class LogSoftmax(Net):
    def __init__(self, bands=3, outputs=3):
        super().__init__(bands, outputs)
        self.end = nn.LogSoftmax(1)

    def forward(self, x):
        return self.end(self.logits(x))


class Flat(Net):
    """One logit for each image, without a column."""

    def forward(self, x):
        return self.logits(x).squeeze(1)


class Sigmoid(Net):
    def forward(self, x):
        return torch.sigmoid(self.logits(x))


class Votes(Net):
    """Concentrations of votes, as Zoobot's."""

    def forward(self, x):
        return 1 + 100 * torch.sigmoid(self.logits(x))


class Pair(Net):
    """Features and scores."""

    def forward(self, x):
        latent = torch.relu(self.features(x)).mean((2, 3))
        return latent, self.classifier(latent)


class Named(Net):
    def forward(self, x):
        scores = self.logits(x)
        return {"probabilities": scores.softmax(1), "logits": scores}


class Alone(Net):
    """Cannot take one image: it squeezes the axis of the batch away too."""

    def logits(self, x):
        maps = functional.adaptive_avg_pool2d(torch.relu(self.features(x)), 1)
        return self.classifier(maps.squeeze())


class Doubled(Net):
    """A regression of what is above 0, such as a redshift."""

    def __init__(self, bands=3, outputs=1):
        super().__init__(bands, outputs)

    def forward(self, x):
        return functional.softplus(self.logits(x))


class Plain(nn.Module):
    """Convolutions with batch norm, pooled by modules, two dense layers: of the size it was made for."""

    def __init__(self, bands=3, outputs=3, size=12):
        super().__init__()
        self.conv, self.norm, self.pool = nn.Conv2d(bands, 6, 3, padding=1), nn.BatchNorm2d(6), nn.MaxPool2d(2)
        self.fc1, self.fc2 = nn.Linear(6 * (size // 2) ** 2, 10), nn.Linear(10, outputs)
        self.dropout = nn.Dropout(0.5)

    def logits(self, x):
        x = self.pool(torch.relu(self.norm(self.conv(x))))
        return self.fc2(self.dropout(torch.relu(self.fc1(x.view(x.size(0), -1)))))

    def forward(self, x):
        return self.logits(x)


class Strided(nn.Module):
    """For large images: what is brightest anywhere."""

    def __init__(self, bands=3, outputs=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(bands, 4, 8, 8), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU())
        self.fc = nn.Linear(6, outputs)

    def logits(self, x):
        return self.fc(self.body(x).amax((2, 3)))

    def forward(self, x):
        return self.logits(x)


class DenseEnding(nn.Module):
    """As torchvision's DenseNet: joined layers; ReLU in place and pooling by functions before the classifier."""

    def __init__(self, bands=3, outputs=3):
        super().__init__()
        self.features = nn.Sequential()
        self.one, self.two = nn.Conv2d(bands, 4, 3, padding=1), nn.Conv2d(bands + 4, 4, 3, padding=1)
        self.norm5, self.classifier = nn.BatchNorm2d(bands + 8), nn.Linear(bands + 8, outputs)

    def logits(self, x):
        x = torch.cat([x, self.one(x)], 1)
        features = self.norm5(torch.cat([x, self.two(x)], 1))
        out = functional.relu(features, inplace=True)
        return self.classifier(torch.flatten(functional.adaptive_avg_pool2d(out, (1, 1)), 1))

    def forward(self, x):
        return self.logits(x)


class ShuffleEnding(nn.Module):
    """As torchvision's ShuffleNet: channels in two groups, shuffled; `x.mean([2, 3])` before the last layer."""

    def __init__(self, bands=3, outputs=3):
        super().__init__()
        self.conv1, self.branch = nn.Conv2d(bands, 8, 3, 2, 1), nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.conv5, self.fc = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(inplace=True)), nn.Linear(8, outputs)

    def logits(self, x):
        x = torch.relu(self.conv1(x))
        left, right = x.chunk(2, dim=1)
        x = torch.cat((left, self.branch(right)), dim=1)
        n, channels, height, width = x.size()
        x = x.view(n, 2, channels // 2, height, width).transpose(1, 2).contiguous().view(n, channels, height, width)
        return self.fc(self.conv5(x).mean([2, 3]))

    def forward(self, x):
        return self.logits(x)


class MobileEnding(nn.Module):
    """As torchvision's MobileNetV3: squeeze and excite, Hardswish, and a classifier of several layers."""

    def __init__(self, bands=3, outputs=3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(bands, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(8, 12), nn.Hardswish(inplace=True), nn.Dropout(0.2, inplace=True), nn.Linear(12, outputs)
        )

    def logits(self, x):
        x = self.stem(x)
        scale = functional.hardsigmoid(self.excite(torch.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))))
        x = x + self.depthwise(scale * x)
        return self.classifier(torch.flatten(self.avgpool(x), 1))

    def forward(self, x):
        return self.logits(x)


class TransformerEnding(nn.Module):
    """As a vision transformer: patches, a class token, attention of a module; the head takes the token."""

    def __init__(self, bands=3, outputs=3, size=12):
        super().__init__()
        self.conv_proj = nn.Conv2d(bands, 8, 4, 4)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.pos_embedding = nn.Parameter(torch.randn(1, (size // 4) ** 2 + 1, 8) * 0.02)
        self.ln_1, self.attention = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.ln, self.heads = nn.LayerNorm(8), nn.Sequential()
        self.heads.add_module("head", nn.Linear(8, outputs))

    def logits(self, x):
        n = x.shape[0]
        x = self.conv_proj(x).reshape(n, 8, -1).permute(0, 2, 1)
        x = torch.cat([self.class_token.expand(n, -1, -1), x], dim=1) + self.pos_embedding
        inside = self.ln_1(x)
        x = self.ln(x + self.attention(inside, inside, inside, need_weights=False)[0])
        return self.heads(x[:, 0])

    def forward(self, x):
        return self.logits(x)


class Branches(nn.Module):
    """Two networks added: no layer that the answer follows from alone."""

    def __init__(self, bands=3, outputs=3):
        super().__init__()
        self.one, self.two = Net(bands, outputs), Net(bands, outputs)

    def logits(self, x):
        return self.one(x) + self.two(x.flip(3))

    def forward(self, x):
        return self.logits(x)


class Convolutional(nn.Module):
    """Convolutions alone: a map for each class, whose mean is its score."""

    def __init__(self, bands=3, outputs=3):
        super().__init__()
        self.conv1, self.conv10 = nn.Conv2d(bands, 6, 3, padding=1), nn.Conv2d(6, outputs, 1)

    def logits(self, x):
        return functional.adaptive_avg_pool2d(self.conv10(torch.relu(self.conv1(x))), 1).flatten(1)

    def forward(self, x):
        return self.logits(x)


class FunctionHead(nn.Module):
    """The head is a function; the layer that holds its weights never runs."""

    def __init__(self, bands=3, outputs=3):
        super().__init__()
        self.features, self.head = nn.Conv2d(bands, 6, 3, padding=1), nn.Linear(6, outputs)

    def logits(self, x):
        latent = torch.relu(self.features(x)).mean((2, 3))
        return functional.linear(latent, self.head.weight, self.head.bias)

    def forward(self, x):
        return self.logits(x)


class FunctionMaps(FunctionHead):
    """A map for each class by a function, and its mean."""

    def logits(self, x):
        maps = torch.relu(self.features(x))
        return functional.conv2d(maps, self.head.weight[:, :, None, None], self.head.bias).mean((2, 3))


class Looking(FunctionHead):
    """Code that looks at numbers, which torch.fx does not follow; the head is an einsum, the end a softmax."""

    def logits(self, x):
        latent = torch.relu(self.features(x)).mean((2, 3))
        if latent.max() > 1e6:
            latent = latent / 2
        return torch.einsum("nd,kd->nk", latent, self.head.weight) + self.head.bias

    def forward(self, x):
        return torch.softmax(self.logits(x), 1)


class Cosine(nn.Module):
    """Angles to a direction for each class, as trained for faces."""

    def __init__(self, bands=3, outputs=3):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(bands, 6, 3, padding=1), nn.Tanh())
        self.embedding = nn.Linear(6, 5)
        self.directions = nn.Parameter(torch.randn(outputs, 5))
        self.offset = nn.Parameter(torch.zeros(outputs))

    def logits(self, x):
        latent = functional.normalize(self.embedding(self.features(x).mean((2, 3))), dim=1)
        return 8 * latent @ functional.normalize(self.directions, dim=1).T + self.offset

    def forward(self, x):
        return self.logits(x)


def build():
    """A class that stands inside a function, as in many a script."""

    class Inner(Net):
        pass

    return Inner()


def predict(images):
    """A function from arrays to scores, such as a call to a server."""
    import numpy as np

    mean = images.mean((2, 3))
    return np.concatenate([mean, 0.9 * mean.mean(1, keepdims=True)], 1) * 40
