"""BibTeX of the papers that methods come from."""

from __future__ import annotations

HU_2018 = """\
@inproceedings{hu2018multilabel,
  title     = {Multi-label Learning from Noisy Labels with Non-linear Feature Transformation},
  author    = {Hu, Mengying and Han, Hu and Shan, Shiguang and Chen, Xilin},
  booktitle = {Asian Conference on Computer Vision (ACCV)},
  year      = {2018}
}"""

HU_2019 = """\
@inproceedings{hu2019weakly,
  title     = {Weakly Supervised Image Classification through Noise Regularization},
  author    = {Hu, Mengying and Han, Hu and Shan, Shiguang and Chen, Xilin},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {11517--11525},
  year      = {2019}
}"""

LEE_2018 = """\
@inproceedings{lee2018cleannet,
  title     = {{CleanNet}: Transfer Learning for Scalable Image Classifier Training with Label Noise},
  author    = {Lee, Kuang-Huei and He, Xiaodong and Zhang, Lei and Yang, Linjun},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {5447--5456},
  year      = {2018}
}"""

MISRA_2016 = """\
@inproceedings{misra2016seeing,
  title     = {Seeing through the Human Reporting Bias: Visual Classifiers from Noisy Human-Centric Labels},
  author    = {Misra, Ishan and Zitnick, C. Lawrence and Mitchell, Margaret and Girshick, Ross},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {2930--2939},
  year      = {2016}
}"""

PATRINI_2017 = """\
@inproceedings{patrini2017making,
  title     = {Making Deep Neural Networks Robust to Label Noise: A Loss Correction Approach},
  author    = {Patrini, Giorgio and Rozza, Alessandro and Krishna Menon, Aditya and Nock, Richard
               and Qu, Lizhen},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {1944--1952},
  year      = {2017}
}"""

SUKHBAATAR_2014 = """\
@article{sukhbaatar2014learning,
  title     = {Learning from Noisy Labels with Deep Neural Networks},
  author    = {Sukhbaatar, Sainbayar and Fergus, Rob},
  journal   = {arXiv preprint arXiv:1406.2080},
  year      = {2014}
}"""

VEIT_2017 = """\
@inproceedings{veit2017learning,
  title     = {Learning From Noisy Large-Scale Datasets With Minimal Supervision},
  author    = {Veit, Andreas and Alldrin, Neil and Chechik, Gal and Krasin, Ivan and Gupta, Abhinav
               and Belongie, Serge},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {839--847},
  year      = {2017}
}"""

XIAO_2015 = """\
@inproceedings{xiao2015learning,
  title     = {Learning from Massive Noisy Labeled Data for Image Classification},
  author    = {Xiao, Tong and Xia, Tian and Yang, Yi and Huang, Chang and Wang, Xiaogang},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {2691--2699},
  year      = {2015}
}"""

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

SCHOELKOPF_2001 = """@article{schoelkopf2001estimating,
  title = {Estimating the Support of a High-Dimensional Distribution},
  author = {Schoelkopf, Bernhard and Platt, John and Shawe-Taylor, John and Smola, Alex and Williamson, Robert},
  journal = {Neural Computation},
  volume = {13},
  number = {7},
  pages = {1443--1471},
  year = {2001}
}"""

COVER_1967 = """\
@article{cover1967nearest,
  title     = {Nearest Neighbor Pattern Classification},
  author    = {Cover, Thomas M. and Hart, Peter E.},
  journal   = {IEEE Transactions on Information Theory},
  volume    = {13},
  number    = {1},
  pages     = {21--27},
  year      = {1967}
}"""
