package weights

import "slices"

// Known is a file of weights that others publish.
type Known struct {
	Name    string
	About   string
	URL     string
	SHA256  string // of the file
	Licence string
}

// torchvision's file names carry the first eight digits of their SHA-256, which is all that its own loader compares;
// the rest is what many who keep these files have published independently. The code is BSD-3-Clause; of the weights
// torchvision says that they may be under terms that follow from the data set they were trained on.
const torchvisionLicence = "BSD-3-Clause (torchvision); trained on ImageNet-1k, whose terms the user has to look at"

var known = []Known{
	{"resnet18", "ResNet-18, ImageNet-1k, torchvision IMAGENET1K_V1, 45 MB", "https://download.pytorch.org/models/resnet18-f37072fd.pth", "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec", torchvisionLicence},
	{"resnet34", "ResNet-34, ImageNet-1k, torchvision IMAGENET1K_V1, 83 MB", "https://download.pytorch.org/models/resnet34-b627a593.pth", "b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f", torchvisionLicence},
	{"resnet50", "ResNet-50, ImageNet-1k, torchvision IMAGENET1K_V1, 98 MB", "https://download.pytorch.org/models/resnet50-0676ba61.pth", "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a", torchvisionLicence},
	{"wide_resnet50_2", "WideResNet-50-2, ImageNet-1k, torchvision IMAGENET1K_V1, 132 MB", "https://download.pytorch.org/models/wide_resnet50_2-95faca4d.pth", "95faca4d11227dddf8633dbb5ff6c8a9003c1aa5b8945c73834b8007b10950b8", torchvisionLicence},
}

// AllKnown lists the files that can be fetched by name.
func AllKnown() []Known { return slices.Clone(known) }

// FindKnown finds one by name.
func FindKnown(name string) (Known, bool) {
	i := slices.IndexFunc(known, func(k Known) bool { return k.Name == name })
	if i < 0 {
		return Known{}, false
	}
	return known[i], true
}
