"""Released checkpoints of reward models, once, into folders of safetensors that recipes name.

hpsv2.convert("HPS_v2.1_compressed.pt", tokenizer="clip-vit-large-patch14", out="hpsv2.1")
image_reward.convert("ImageReward.pt", tokenizer="bert-base-uncased", out="image_reward")
aesthetic.convert("sac+logos+ava1-l14-linearMSE.pth", clip="clip-vit-large-patch14", out="aesthetic")

Each first names the released file, then a folder of public parts that it builds on, then the folder to make. The
architecture is read from the shapes of the weights.
"""
