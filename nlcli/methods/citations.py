"""BibTeX of the papers that methods come from."""

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
