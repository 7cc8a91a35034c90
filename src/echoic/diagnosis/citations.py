"""The works that the measures and theories of a checkup come from, as BibTeX."""

CITATIONS: dict[str, str] = {
    "Dubinin & Effenberger 2024": """@article{dubinin2024fading,
  title   = {Fading memory as inductive bias in residual recurrent networks},
  author  = {Dubinin, Igor and Effenberger, Felix},
  journal = {Neural Networks},
  volume  = {173},
  pages   = {106179},
  year    = {2024},
  doi     = {10.1016/j.neunet.2024.106179}
}""",
    "Emami et al. 2021": """@inproceedings{emami2021implicit,
  title     = {Implicit Bias of Linear {RNNs}},
  author    = {Emami, Melikasadat and Sahraee-Ardakan, Mojtaba and Pandit, Parthe
               and Rangan, Sundeep and Fletcher, Alyson K.},
  booktitle = {Proceedings of the 38th International Conference on Machine Learning},
  series    = {PMLR},
  volume    = {139},
  pages     = {2982--2992},
  year      = {2021}
}""",
    "Orhan & Pitkow 2020": """@inproceedings{orhan2020improved,
  title     = {Improved memory in recurrent neural networks with sequential non-normal dynamics},
  author    = {Orhan, A. Emin and Pitkow, Xaq},
  booktitle = {International Conference on Learning Representations},
  year      = {2020},
  url       = {https://openreview.net/forum?id=ryx1wRNFvB}
}""",
    "Ribeiro et al. 2020": """@inproceedings{ribeiro2020beyond,
  title     = {Beyond exploding and vanishing gradients: analysing {RNN} training using
               attractors and smoothness},
  author    = {Ribeiro, Ant{\\^o}nio H. and Tiels, Koen and Aguirre, Luis A.
               and Sch{\\"o}n, Thomas B.},
  booktitle = {Proceedings of the 23rd International Conference on Artificial Intelligence
               and Statistics},
  series    = {PMLR},
  volume    = {108},
  pages     = {2370--2380},
  year      = {2020}
}""",
    "Chen et al. 2018": """@inproceedings{chen2018dynamical,
  title     = {Dynamical Isometry and a Mean Field Theory of {RNNs}: Gating Enables Signal
               Propagation in Recurrent Neural Networks},
  author    = {Chen, Minmin and Pennington, Jeffrey and Schoenholz, Samuel S.},
  booktitle = {Proceedings of the 35th International Conference on Machine Learning},
  series    = {PMLR},
  volume    = {80},
  year      = {2018}
}""",
    "Ganguli et al. 2008": """@article{ganguli2008memory,
  title   = {Memory traces in dynamical systems},
  author  = {Ganguli, Surya and Huh, Dongsung and Sompolinsky, Haim},
  journal = {Proceedings of the National Academy of Sciences},
  volume  = {105},
  number  = {48},
  pages   = {18970--18975},
  year    = {2008}
}""",
    "Benettin et al. 1980": """@article{benettin1980lyapunov,
  title   = {Lyapunov characteristic exponents for smooth dynamical systems and for Hamiltonian
             systems; a method for computing all of them},
  author  = {Benettin, Giancarlo and Galgani, Luigi and Giorgilli, Antonio
             and Strelcyn, Jean-Marie},
  journal = {Meccanica},
  volume  = {15},
  pages   = {9--30},
  year    = {1980}
}""",
    "Jaeger 2001": """@techreport{jaeger2001short,
  title       = {Short term memory in echo state networks},
  author      = {Jaeger, Herbert},
  institution = {German National Research Center for Information Technology},
  number      = {152},
  year        = {2001}
}""",
    "Tallec & Ollivier 2018": """@inproceedings{tallec2018can,
  title     = {Can recurrent neural networks warp time?},
  author    = {Tallec, Corentin and Ollivier, Yann},
  booktitle = {International Conference on Learning Representations},
  year      = {2018}
}""",
}


# What the report of a training run rests on besides.
TRAINING_CITATIONS: dict[str, str] = {
    "Khandelwal et al. 2018": """@inproceedings{khandelwal2018sharp,
  title     = {Sharp Nearby, Fuzzy Far Away: How Neural Language Models Use Context},
  author    = {Khandelwal, Urvashi and He, He and Qi, Peng and Jurafsky, Dan},
  booktitle = {Proceedings of the 56th Annual Meeting of the Association for Computational
               Linguistics (Volume 1: Long Papers)},
  pages     = {284--294},
  year      = {2018}
}""",
    "Pascanu et al. 2013": """@inproceedings{pascanu2013difficulty,
  title     = {On the difficulty of training recurrent neural networks},
  author    = {Pascanu, Razvan and Mikolov, Tomas and Bengio, Yoshua},
  booktitle = {Proceedings of the 30th International Conference on Machine Learning},
  series    = {PMLR},
  volume    = {28},
  pages     = {1310--1318},
  year      = {2013}
}""",
}
