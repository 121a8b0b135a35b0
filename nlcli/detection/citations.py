"""BibTeX of the papers that detectors come from, beside those that methods come from."""

NORTHCUTT_2021 = """\
@article{northcutt2021confident,
  title   = {Confident Learning: Estimating Uncertainty in Dataset Labels},
  author  = {Northcutt, Curtis G. and Jiang, Lu and Chuang, Isaac L.},
  journal = {Journal of Artificial Intelligence Research},
  volume  = {70},
  pages   = {1373--1411},
  year    = {2021}
}"""

THONGKAM_2008 = """\
@inproceedings{thongkam2008support,
  title     = {Support Vector Machine for Outlier Detection in Breast Cancer Survivability Prediction},
  author    = {Thongkam, Jaree and Xu, Guandong and Zhang, Yanchun and Huang, Fuchun},
  booktitle = {Asia-Pacific Web Conference},
  pages     = {99--109},
  year      = {2008}
}"""

XIA_2015 = """\
@inproceedings{xia2015learning,
  title     = {Learning Discriminative Reconstructions for Unsupervised Outlier Removal},
  author    = {Xia, Yan and Cao, Xudong and Wen, Fang and Hua, Gang and Sun, Jian},
  booktitle = {IEEE International Conference on Computer Vision (ICCV)},
  pages     = {1511--1519},
  year      = {2015}
}"""

YU_2015 = """\
@article{yu2015lsun,
  title   = {{LSUN}: Construction of a Large-scale Image Dataset using Deep Learning with Humans in the Loop},
  author  = {Yu, Fisher and Seff, Ari and Zhang, Yinda and Song, Shuran and Funkhouser, Thomas and Xiao, Jianxiong},
  journal = {arXiv preprint arXiv:1506.03365},
  year    = {2015}
}"""

ZHOU_2004 = """\
@inproceedings{zhou2004learning,
  title     = {Learning with Local and Global Consistency},
  author    = {Zhou, Dengyong and Bousquet, Olivier and Lal, Thomas Navin and Weston, Jason
               and Sch{\\"o}lkopf, Bernhard},
  booktitle = {Advances in Neural Information Processing Systems (NIPS)},
  year      = {2004}
}"""

ZHU_2002 = """\
@techreport{zhu2002learning,
  title       = {Learning from Labeled and Unlabeled Data with Label Propagation},
  author      = {Zhu, Xiaojin and Ghahramani, Zoubin},
  institution = {Carnegie Mellon University},
  number      = {CMU-CALD-02-107},
  year        = {2002}
}"""
