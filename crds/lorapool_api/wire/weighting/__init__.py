"""How strongly an adapter counts where one number does not say it: by step, by block, by part of the base."""
