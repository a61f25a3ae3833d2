"""A short form of the whole: the pipeline runs, the loss falls, a stop changes nothing, the exported file is exact.

Run by `make.sh check`. The teacher is linectl's own default network, so that nothing has to be fetched.
"""

import os
import tempfile
import unittest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import onnxruntime
import torch

import evaluate
import export
import make
import networks
import render
import train

TEACHER = os.path.join(make.ROOT, "backbones", "linectl_resnet18.onnx")
MAPS = ("layer1", "layer2", "layer3")


class Pipeline(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.images, cls.masks = render.pictures(3, 48)

    def train(self, folder, **options):
        settings = dict(sizes=("small",), steps=75, minutes=1e6, maps=MAPS, crop_sizes=((64, 8, 1.0),), statistics=2, say=lambda _: None)
        return train.train(self.images, self.masks, TEACHER, folder, **{**settings, **options})

    def test_from_nothing_to_a_judged_file(self):
        with tempfile.TemporaryDirectory() as whole, tempfile.TemporaryDirectory() as parts:
            students, history = self.train(whole)
            self.assertEqual([step for step, _ in history], [25, 50, 75])
            early, late = history[0][1]["small"], history[-1][1]["small"]
            for stride, a, b in zip(networks.STRIDES, early, late):
                self.assertLess(b, a, f"the loss at stride {stride} does not fall")
            self.assertLess(sum(late), 0.85 * sum(early), "the losses do not fall")
            self.assertIsNone(self.train(parts, pause=30))
            with self.assertRaisesRegex(ValueError, "take another work folder"):
                self.train(parts, seed=1)
            again, _ = self.train(parts)
            digests = [export.export(s["small"], "small", "small", "a check", f, make.sample(self.images)) for s, f in ((students, whole), (again, parts))]
            self.assertEqual(*digests, "stopped in between, training gives another network")
            scores = evaluate.score(evaluate.Network(os.path.join(whole, "small.onnx")), evaluate.load_sets(None, 1))
            self.assertEqual([0 <= v <= 1 for v in scores.values()], [True])

    def test_the_exported_file_is_the_student(self):
        x = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(1))
        for size in make.NAMES:
            torch.manual_seed(2)
            net = networks.student(size)
            with torch.no_grad():
                for _ in range(3):
                    net(x)  # normalisation with statistics of its own
                want = [m * f for m, f in zip(net.eval()(x), export.balance(net, x))]
                with tempfile.TemporaryDirectory() as folder:
                    export.export(net, size, "net", "a check", folder, x)
                    got = onnxruntime.InferenceSession(os.path.join(folder, "net.onnx")).run(list(MAPS), {"image": x.numpy()})
            for a, b, stride, length in zip(got, want, networks.STRIDES, export.LENGTHS):
                self.assertEqual(a.shape[2:], (96 // stride, 64 // stride))
                self.assertLess(np.linalg.norm(a - b.numpy()), 1e-3 * np.linalg.norm(b))
                self.assertAlmostEqual(float(np.sqrt((a**2).sum(1).mean())), length, delta=0.01 * length)

    def test_a_start_gives_what_the_file_gives(self):
        x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(2)
        first, second = networks.student("standard"), networks.student("standard")
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            for _ in range(3):
                first(x)  # normalisation with statistics of its own
            export.export(first.eval(), "standard", "net", "a check", folder, x)
            file = os.path.join(folder, "net.onnx")
            networks.start_from(second, file, x)
            for a, b, c in zip(second.eval()(x), networks.Graph(file, MAPS)(x), onnxruntime.InferenceSession(file).run(None, {"image": x.numpy()})):
                self.assertLess(np.linalg.norm(a - c), 1e-3 * np.linalg.norm(c))  # the file holds what smooths as float16
                np.testing.assert_allclose(b, c, atol=1e-3)

    def test_a_rendering_follows_from_seed_and_number(self):
        for design in range(len(render.KINDS)):
            image, mask = render.picture(5, design, design, 2)
            again, _ = render.picture(5, design, design, 2)
            np.testing.assert_array_equal(image, again)
            self.assertLessEqual(mask.max(), len(render.DEFECTS))
            self.assertGreater(image.std(), 0.5)

    def test_auroc_and_k_center(self):
        self.assertEqual(evaluate.auroc([1, 2], [2, 3]), 0.875)
        x = torch.tensor([[0.0], [0.1], [5.0], [10.0]])
        self.assertEqual(sorted(evaluate.k_center(x, 3)[:, 0].round().tolist()), [0.0, 5.0, 10.0])


if __name__ == "__main__":
    unittest.main()
